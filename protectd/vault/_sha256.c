/*
 * SHA-256 of many pieces, two at a time.
 *
 * A processor's SHA instructions have to wait for each other within one hash: two hashes that are computed in
 * turn, instruction by instruction, take little longer than one. Ids of blobs and of packs do not depend on one
 * another, so there is always a second one. FIPS 180-4 is the source of the function and of its constants.
 *
 * protectd/vault/digests.py is the only caller, and does the same with hashlib where this is not to be had.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 64
#define DIGEST 32
#define WITH_SHA __attribute__((target("sha,sse4.1")))
#define INLINE WITH_SHA __attribute__((always_inline)) static inline

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The eight words of a hash under way, in the order that the instructions want: f e b a, h g d c. */
typedef struct {
    uint32_t words[8];
} State;

static const State BEGIN = {{0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
                             0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}};

typedef struct {
    __m128i abef, cdgh;
} Pair;

INLINE Pair load_state(const State *state)
{
    return (Pair){_mm_loadu_si128((const __m128i *)state->words),
                  _mm_loadu_si128((const __m128i *)(state->words + 4))};
}

INLINE void store_state(State *state, Pair pair)
{
    _mm_storeu_si128((__m128i *)state->words, pair.abef);
    _mm_storeu_si128((__m128i *)(state->words + 4), pair.cdgh);
}

INLINE void load_block(__m128i words[4], const uint8_t *data)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    for (int i = 0; i < 4; i++)
        words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), big_endian);
}

/* Four rounds, and the four words of the schedule that take the place of those just used. */
INLINE void four_rounds(Pair *pair, __m128i words[4], int i)
{
    __m128i sum = _mm_add_epi32(words[i & 3], _mm_load_si128((const __m128i *)(ROUND + 4 * i)));
    pair->cdgh = _mm_sha256rnds2_epu32(pair->cdgh, pair->abef, sum);
    pair->abef = _mm_sha256rnds2_epu32(pair->abef, pair->cdgh, _mm_shuffle_epi32(sum, 0x0e));
    if (i < 12) {
        __m128i last = words[(i + 3) & 3];
        __m128i next = _mm_sha256msg1_epu32(words[i & 3], words[(i + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(last, words[(i + 2) & 3], 4));
        words[i & 3] = _mm_sha256msg2_epu32(next, last);
    }
}

INLINE Pair sum_of(Pair one, Pair other)
{
    return (Pair){_mm_add_epi32(one.abef, other.abef), _mm_add_epi32(one.cdgh, other.cdgh)};
}

WITH_SHA static void hash_one(State *state, const uint8_t *data, size_t blocks)
{
    Pair pair = load_state(state);
    for (; blocks; blocks--, data += BLOCK) {
        Pair before = pair;
        __m128i words[4];
        load_block(words, data);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            four_rounds(&pair, words, i);
        pair = sum_of(pair, before);
    }
    store_state(state, pair);
}

WITH_SHA static void hash_two(State *state_a, const uint8_t *a, State *state_b, const uint8_t *b, size_t blocks)
{
    Pair pair_a = load_state(state_a), pair_b = load_state(state_b);
    for (; blocks; blocks--, a += BLOCK, b += BLOCK) {
        Pair before_a = pair_a, before_b = pair_b;
        __m128i words_a[4], words_b[4];
        load_block(words_a, a);
        load_block(words_b, b);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            four_rounds(&pair_a, words_a, i);
            four_rounds(&pair_b, words_b, i);
        }
        pair_a = sum_of(pair_a, before_a);
        pair_b = sum_of(pair_b, before_b);
    }
    store_state(state_a, pair_a);
    store_state(state_b, pair_b);
}

static int has_avx; /* set once, when the module is made */

/*
 * Code that leaves something in the upper halves of the wide registers makes every instruction after it that
 * knows the lower halves only wait for the one before: two hashes then take as long as one after the other.
 * OpenSSL's Poly1305 of a short piece does so.
 */
__attribute__((target("avx"))) static void clear_upper_halves(void)
{
    _mm256_zeroupper();
}

/* One of the two hashes that are computed side by side. */
typedef struct {
    State state;
    const uint8_t *data;
    size_t blocks;           /* to go from `data` on */
    uint8_t tail[2 * BLOCK]; /* what follows the last whole block, padded */
    size_t tail_blocks;      /* 0 once `data` points at them */
    uint8_t *digest;         /* where it goes; NULL for one that is not brought to its end */
    int busy;
} Lane;

static void write_digest(const State *state, uint8_t *digest)
{
    static const int place[8] = {3, 2, 7, 6, 1, 0, 5, 4};
    for (int i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(state->words[place[i]]);
        memcpy(digest + 4 * i, &word, 4);
    }
}

/* Where a run of blocks has ended: on to the tail, or to the end. */
static void turn(Lane *lane)
{
    if (lane->blocks)
        return;
    if (lane->tail_blocks) {
        lane->data = lane->tail;
        lane->blocks = lane->tail_blocks;
        lane->tail_blocks = 0;
        return;
    }
    if (lane->digest)
        write_digest(&lane->state, lane->digest);
    lane->busy = 0;
}

static void advance(Lane *lane, size_t blocks)
{
    lane->data += blocks * BLOCK;
    lane->blocks -= blocks;
    turn(lane);
}

/* The last `length` bytes of a piece of `total` bytes, the state being that of what went before. */
static void begin_lane(Lane *lane, const State *state, const uint8_t *data, size_t length, size_t total,
                       uint8_t *digest)
{
    size_t rest = length % BLOCK;
    uint64_t bits = (uint64_t)total * 8;
    lane->state = *state;
    lane->data = data;
    lane->blocks = length / BLOCK;
    lane->tail_blocks = rest < BLOCK - 8 ? 1 : 2;
    lane->digest = digest;
    lane->busy = 1;
    memset(lane->tail, 0, sizeof lane->tail);
    if (rest)
        memcpy(lane->tail, data + length - rest, rest);
    lane->tail[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        lane->tail[lane->tail_blocks * BLOCK - 1 - i] = (uint8_t)(bits >> (8 * i));
    turn(lane);
}

/* The longest first: the last one of all has nobody beside it, and shall be short. */
typedef struct {
    size_t length;
    Py_ssize_t number;
} Turn;

static int longer_first(const void *one, const void *other)
{
    size_t a = ((const Turn *)one)->length, b = ((const Turn *)other)->length;
    return (a < b) - (a > b);
}

/* All pieces. `whole`, if busy, goes on as long as they last, in place of a second one of them. */
static void run(Lane *whole, const Py_buffer *pieces, Turn *turns, Py_ssize_t count, uint8_t *digests)
{
    Lane lanes[2] = {{.busy = 0}, {.busy = 0}};
    Py_ssize_t next = 0;
    if (has_avx)
        clear_upper_halves();
    for (Py_ssize_t i = 0; i < count; i++)
        turns[i] = (Turn){(size_t)pieces[i].len, i};
    qsort(turns, (size_t)count, sizeof *turns, longer_first);
    for (;;) {
        for (int i = 0; i < (whole->busy ? 1 : 2); i++)
            if (!lanes[i].busy && next < count) {
                Py_ssize_t number = turns[next].number;
                size_t length = turns[next].length;
                begin_lane(&lanes[i], &BEGIN, pieces[number].buf, length, length, digests + DIGEST * number);
                next++;
            }
        Lane *one = lanes[0].busy ? &lanes[0] : &lanes[1];
        Lane *other = whole->busy ? whole : &lanes[1];
        if (!one->busy)
            return;
        if (other->busy && other != one) {
            size_t blocks = one->blocks < other->blocks ? one->blocks : other->blocks;
            hash_two(&one->state, one->data, &other->state, other->data, blocks);
            advance(one, blocks);
            advance(other, blocks);
        } else {
            size_t blocks = one->blocks;
            hash_one(&one->state, one->data, blocks);
            advance(one, blocks);
        }
    }
}

/* --- from Python --- */

/* A whole under way, as it lies in the caller's `bytearray`. `done`: bytes, a multiple of BLOCK. */
typedef struct {
    State state;
    uint64_t done;
} Begun;

static int has_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

static int read_begun(Begun *begun, const Py_buffer *from, const Py_buffer *whole)
{
    if (from->len == sizeof *begun) {
        memcpy(begun, from->buf, sizeof *begun);
        if (begun->done <= (uint64_t)whole->len && begun->done % BLOCK == 0)
            return 1;
    }
    PyErr_SetString(PyExc_ValueError, "that is not what begin() made for this whole");
    return 0;
}

/* Digests of a list of buffers, or NULL with an exception. */
static PyObject *digests_of(PyObject *list, Lane *whole)
{
    PyObject *objects = PyList_AsTuple(list); /* the list may change while an object gives its buffer */
    if (!objects)
        return NULL;
    Py_ssize_t count = PyTuple_Size(objects), held = 0;
    Py_buffer *pieces = PyMem_Calloc((size_t)count + 1, sizeof *pieces);
    Turn *turns = PyMem_Calloc((size_t)count + 1, sizeof *turns);
    uint8_t *made = PyMem_Calloc((size_t)count + 1, DIGEST);
    PyObject *found = NULL;
    if (!pieces || !turns || !made) {
        PyErr_NoMemory();
        goto end;
    }
    for (; held < count; held++)
        if (PyObject_GetBuffer(PyTuple_GetItem(objects, held), &pieces[held], PyBUF_SIMPLE) < 0)
            goto end;
    Py_BEGIN_ALLOW_THREADS
    run(whole, pieces, turns, count, made);
    Py_END_ALLOW_THREADS
    found = PyList_New(count);
    for (Py_ssize_t i = 0; found && i < count; i++) {
        PyObject *digest = PyBytes_FromStringAndSize((const char *)made + DIGEST * i, DIGEST);
        if (!digest || PyList_SetItem(found, i, digest) < 0)
            Py_CLEAR(found);
    }
end:
    while (held)
        PyBuffer_Release(&pieces[--held]);
    PyMem_Free(made);
    PyMem_Free(turns);
    PyMem_Free(pieces);
    Py_DECREF(objects);
    return found;
}

PyDoc_STRVAR(digests_doc, "digests(pieces: list[Buffer]) -> list[bytes]");

static PyObject *digests(PyObject *self, PyObject *pieces)
{
    Lane none = {.busy = 0};
    (void)self;
    if (!PyList_Check(pieces))
        return PyErr_Format(PyExc_TypeError, "a list is wanted");
    return digests_of(pieces, &none);
}

PyDoc_STRVAR(begin_doc, "begin() -> bytearray: what a whole of which nothing has been hashed begins with");

static PyObject *begin(PyObject *self, PyObject *unused)
{
    Begun begun = {.state = BEGIN, .done = 0};
    (void)self, (void)unused;
    return PyByteArray_FromStringAndSize((const char *)&begun, sizeof begun);
}

PyDoc_STRVAR(beside_doc, "beside(pieces: list[Buffer], whole: Buffer, begun: bytearray) -> list[bytes]\n\n"
                         "digests() of the pieces; the whole gets on meanwhile, and `begun` with it.");

static PyObject *beside(PyObject *self, PyObject *args)
{
    PyObject *pieces, *found = NULL;
    Py_buffer whole, kept;
    Begun begun;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!y*w*:beside", &PyList_Type, &pieces, &whole, &kept))
        return NULL;
    if (read_begun(&begun, &kept, &whole)) {
        const uint8_t *data = (const uint8_t *)whole.buf + begun.done;
        size_t blocks = ((size_t)whole.len - (size_t)begun.done) / BLOCK;
        Lane lane = {.state = begun.state, .data = data, .blocks = blocks, .busy = blocks > 0};
        found = digests_of(pieces, &lane);
        begun.state = lane.state;
        begun.done += (uint64_t)(blocks - lane.blocks) * BLOCK;
        memcpy(kept.buf, &begun, sizeof begun);
    }
    PyBuffer_Release(&whole);
    PyBuffer_Release(&kept);
    return found;
}

PyDoc_STRVAR(finish_doc, "finish(whole: Buffer, begun: Buffer) -> bytes: the digest of the whole");

static PyObject *finish(PyObject *self, PyObject *args)
{
    PyObject *found = NULL;
    Py_buffer whole, kept;
    Begun begun;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*:finish", &whole, &kept))
        return NULL;
    if (read_begun(&begun, &kept, &whole)) {
        uint8_t digest[DIGEST];
        size_t total = (size_t)whole.len, done = (size_t)begun.done;
        Lane lane;
        Py_BEGIN_ALLOW_THREADS
        if (has_avx)
            clear_upper_halves();
        begin_lane(&lane, &begun.state, (const uint8_t *)whole.buf + done, total - done, total, digest);
        while (lane.busy) {
            size_t blocks = lane.blocks;
            hash_one(&lane.state, lane.data, blocks);
            advance(&lane, blocks);
        }
        Py_END_ALLOW_THREADS
        found = PyBytes_FromStringAndSize((const char *)digest, DIGEST);
    }
    PyBuffer_Release(&whole);
    PyBuffer_Release(&kept);
    return found;
}

static PyMethodDef methods[] = {
    {"digests", digests, METH_O, digests_doc},
    {"begin", begin, METH_NOARGS, begin_doc},
    {"beside", beside, METH_VARARGS, beside_doc},
    {"finish", finish, METH_VARARGS, finish_doc},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    (void)module;
    if (has_instructions()) {
        has_avx = __builtin_cpu_supports("avx") != 0;
        return 0;
    }
    PyErr_SetString(PyExc_ImportError, "this processor has no instructions for SHA-256");
    return -1;
}

#else

static PyMethodDef methods[] = {{NULL, NULL, 0, NULL}};

static int execute(PyObject *module)
{
    (void)module;
    PyErr_SetString(PyExc_ImportError, "made for another kind of processor");
    return -1;
}

#endif

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_sha256",
    .m_doc = "SHA-256 of many pieces, two at a time.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__sha256(void)
{
    return PyModuleDef_Init(&definition);
}
