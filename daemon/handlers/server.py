"""The team server, as a client of it; and that the configuration changed."""

from daemon import detach, protocol, sync_views
from daemon.calls import Call, Table
from daemon.sync.syncer import reason
from store import errors


async def connect(call: Call, request: protocol.ServerConnect) -> sync_views.ServerView:
    from daemon.sync import connecting  # noqa: PLC0415  a daemon that is not connected does not load it

    connected = await connecting.connect(call.daemon.sync, request)
    for message in connected.messages:
        call.say(message)
    if not connected.in_force:
        return await status(call, protocol.ServerStatus())
    if request.offline:
        return _view(call, mode="connected", reason="not checked: --offline")
    return _view(call, mode="connected", version=connected.version)


async def disconnect(call: Call, _request: protocol.ServerDisconnect) -> sync_views.ServerView:
    from daemon.sync import connecting  # noqa: PLC0415  as above

    for message in await connecting.disconnect(call.daemon.sync):
        call.say(message)
    return await status(call, protocol.ServerStatus())


async def status(call: Call, _request: protocol.ServerStatus) -> sync_views.ServerView:
    sync = call.daemon.sync
    sync.notice_settings()
    try:
        wanted = sync.wanted()
        endpoint = wanted.endpoint(call.services.db.read)
        if endpoint is None:
            return _view(call, mode="disabled")
        from daemon.sync import connecting  # noqa: PLC0415  as above

        for message in connecting.withheld(sync, wanted, endpoint):
            call.say(message)
        version = await sync.ask(connecting.check(endpoint))
    except errors.DaemonUnavailableError:
        raise
    except errors.CleverAgentsError as error:
        return _view(call, mode="error", reason=reason(error))
    return _view(call, mode="connected", version=version)


async def settings_changed(call: Call, _request: protocol.SettingsChanged) -> str:
    await call.daemon.obey()
    return "noticed"


def _view(call: Call, *, mode: str, reason: str | None = None, version: str | None = None) -> sync_views.ServerView:
    wanted = call.daemon.sync.wanted()
    host = detach.PidFile.holder(call.daemon.paths.server_pid_file)
    return sync_views.ServerView(
        mode=mode,
        url=wanted.url,
        namespace=wanted.namespace if wanted.url else None,
        tls_verify=wanted.tls_verify,
        token_set=wanted.token is not None,
        reason=reason,
        server_version=version,
        sync=call.daemon.sync.status(),
        host=sync_views.HostView(host is not None, host.pid if host else None, host.url if host else None),
    )


TABLE: Table = {
    protocol.ServerConnect: connect,
    protocol.ServerDisconnect: disconnect,
    protocol.ServerStatus: status,
    protocol.SettingsChanged: settings_changed,
}
