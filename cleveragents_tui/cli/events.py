"""`ca events`: what happened, in order."""

import select
from collections.abc import Iterable, Sequence
from typing import IO, NoReturn

import click

from cleveragents_tui import client, wording
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.cli.watch import reconnect
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Tone
from daemon import protocol, views

ROOMY = 60
"""Columns from which on there is room for the date."""


@make_verb(
    "events", examples=["ca events", "ca events --follow", "ca events --since 1200 --plan fix-types --format json"]
)
@click.option("--follow", is_flag=True, help="Go on as events happen, until Ctrl-C.")
@click.option("--since", type=click.IntRange(min=0), metavar="SEQ", help="Only events after this number.")
@click.option("--plan", help="Only events of one plan.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, without --follow."
)
def command(
    session: Session, *, follow: bool, since: int | None, plan: str | None, limit: int
) -> Result[views.EventsView]:
    """What happened, in order."""
    if follow:
        _follow(session, since, plan)
    return Result(session.call(protocol.EventList(since=since, plan=plan, limit=limit)), render)


def _follow(session: Session, since: int | None, plan: str | None) -> NoReturn:
    # Events from before are replayed by the subscription itself, in order with the new ones.
    connection = session.client
    while True:
        try:
            connection.subscribe(since=since, plan=plan)
            for message in connection.messages:
                session.say(message)
            while True:
                _print(session, connection.events())
                _await_more(connection, session.out.stdout)
        except client.ConnectionLostError as error:
            if connection.last_seq is not None:
                since = connection.last_seq
            connection.close()
            again = f"ca events --follow{'' if since is None else f' --since {since}'}"
            connection = reconnect(session, error, again)


def _await_more(connection: client.Client, readers: IO[str]) -> None:
    """Until something came.

    Raises:
        BrokenPipeError: nobody reads the output any more, so what comes is for nobody.
    """
    if connection.receive(0):
        return
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(readers, 0)
    if readers.fileno() in {descriptor for descriptor, _ in poll.poll()}:
        raise BrokenPipeError


def _print(session: Session, events: Sequence[views.EventView]) -> None:
    for event in events:
        if session.out.structured:
            session.out.line(event)
        else:
            session.out.say([event_line(event, session.out.look)])
    session.out.flush()


_COLUMNS = (
    Column("SEQ", right=True),
    Column("TIME"),
    Column("EVENT", minimum=10),
    Column("PLAN"),
    Column("DETAIL", minimum=10, drop=1),
)


def render(events: views.EventsView, look: Look) -> Iterable[str]:
    """A table of events."""
    if not events.events:
        yield look.dim("No events.")
        return
    yield from table(look, _COLUMNS, [_row(event, look) for event in events.events])


def _row(event: views.EventView, look: Look) -> list[Cell | str]:
    time = wording.local_time(event.time)
    plan = wording.short_id(event.plan_id) if event.plan_id else ""
    return [
        Cell(str(event.seq), Tone.WAITING),
        time if look.width >= ROOMY else time.partition(" ")[2],
        Cell(event.kind, bold=True),
        plan,
        Cell(detail(event), Tone.WAITING),
    ]


def detail(event: views.EventView) -> str:
    """The detail of an event in one line."""
    return wording.plain(
        "  ".join(f"{key} {value}" for key, value in event.detail.items() if value is not None)
    ).replace("\n", " ")


def event_line(event: views.EventView, look: Look) -> str:
    """One event as it happens."""
    plan = wording.short_id(event.plan_id) if event.plan_id else "-" * 8
    head = f"{event.seq:>6}  {wording.local_time(event.time)}  {event.kind:<16} {plan}"
    return wording.cut(f"{head}  {detail(event)}", look.width)
