"""How Keystone is reached: `[keystone_authtoken]` as every service has it, with bounds to waiting."""

from __future__ import annotations

from keystoneauth1 import loading
from keystoneauth1.adapter import Adapter
from keystonemiddleware import auth_token
from oslo_config import cfg

from protectd.common.errors import ConfigurationError

GROUP = "keystone_authtoken"

WAIT_S = 10
RETRIES = 1
"""Together with the pause before it, what a request waits for a Keystone that is gone."""


def register(conf: cfg.ConfigOpts) -> None:
    """Options of keystonemiddleware. Unless told otherwise it would wait for Keystone without an end, and its
    older versions would take anybody for a service.

    :raises ConfigurationError: nothing says how to sign in.
    """
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    conf.set_default("http_connect_timeout", WAIT_S, group=GROUP)
    conf.set_default("http_request_max_retries", RETRIES, group=GROUP)
    conf.set_default("service_token_roles_required", True, group=GROUP)
    if not (conf[GROUP].auth_type or conf[GROUP].auth_section):
        raise ConfigurationError(where=f"[{GROUP}]", reason="auth_type is not set")


def identity_service(conf: cfg.ConfigOpts) -> Adapter:
    """Keystone's API, asked as the service's own user. Nothing is asked yet."""
    options = conf[GROUP]
    session = loading.session.Session().load_from_options(
        cert=options.certfile,
        key=options.keyfile,
        cacert=options.cafile,
        insecure=options.insecure,
        timeout=options.http_connect_timeout,
    )
    return Adapter(
        session,
        auth=loading.load_auth_from_conf_options(conf, GROUP),
        service_type="identity",
        interface=options.interface,
        region_name=options.region_name,
        version="3",
        connect_retries=options.http_request_max_retries,
    )
