"""Building trees from the leaves up, while files are still being read elsewhere."""

from __future__ import annotations

import hashlib

from protectd.vault.index import BlobIndex
from protectd.vault.pack import TREE
from protectd.vault.packer import Packer
from protectd.vault.previous import EMPTY
from protectd.vault.scan import Folder
from protectd.vault.tree import directory_node, encode_tree


class Trees:
    """Stores the tree of each folder as soon as nothing in it is waiting. `root_id` is set at the end."""

    def __init__(self, index: BlobIndex, packer: Packer) -> None:
        self._index = index
        self._packer = packer
        self._new: set[bytes] = set()
        self.root_id: bytes | None = None

    def keep(self, folder: Folder) -> None:
        """A folder that needs no scan: it has the tree that it had."""
        folder.kept = True
        folder.waiting = 1
        self.settle(folder)

    def settle(self, folder: Folder | None) -> None:
        """One of the entries that `folder` waits for is through."""
        while folder is not None:
            folder.waiting -= 1
            if folder.waiting:
                return
            self._complete(folder)
            folder = folder.parent

    def _complete(self, folder: Folder) -> None:
        tree_id = folder.previous_tree if folder.kept else self._store(folder)
        folder.nodes, folder.previous = [], EMPTY
        if folder.parent is None:
            self.root_id = tree_id
        elif tree_id is not None:
            folder.parent.nodes[folder.place] = directory_node(folder.prefix, tree_id)

    def _store(self, folder: Folder) -> bytes | None:
        if folder.lost:
            return None
        if folder.previous_tree is not None and folder.previous.is_made_of(folder.nodes):
            return folder.previous_tree
        tree = encode_tree(node for node in folder.nodes if node is not None)
        tree_id = hashlib.sha256(tree).digest()
        if tree_id not in self._new and (TREE, tree_id) not in self._index:
            self._new.add(tree_id)
            self._packer.add(tree_id, tree)
        return tree_id
