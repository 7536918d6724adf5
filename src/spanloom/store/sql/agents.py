"""What is read of conversations, messages and agents."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from spanloom.model import AgentQuery, AgentTotals, Page, Span, SpokenQuery
from spanloom.store.sql import agent_queries, rows
from spanloom.store.sql.dialect import Database
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.rows import checked


@dataclass(frozen=True, slots=True)
class Agents:
    """Conversations, what is said in them, and the agents that speak. Every sentence that `Store` promises holds here too."""

    _database: Database
    _read: Readers

    async def conversation_turns(
        self, project: str, session_id: str, *, limit: int, offset: int = 0
    ) -> tuple[list[tuple[str, list[Span]]], int]:
        """One page of a conversation's traces, the newest first by their earliest span in it, and how many there are.

        Of each trace (its id first) the spans that belong to the conversation or to none, by start, then span id.
        """
        parameters = {
            **checked(project=project, session_id=session_id),
            "limit": limit,
            "offset": offset,
        }

        def run(connection: Connection) -> tuple[list[tuple[str, list[Span]]], int]:
            total = connection.execute(agent_queries.COUNT_CONVERSATION_TRACES, parameters)
            number = total.scalar_one()
            page = connection.execute(agent_queries.CONVERSATION_TRACES, parameters).scalars()
            turns: dict[str, list[Span]] = {trace_id: [] for trace_id in page}
            query = agent_queries.turn_spans(self._database, project, session_id, list(turns))
            for row in connection.execute(query) if turns else ():
                turns[row.trace_id].append(rows.to_span(row))
            return list(turns.items()), number

        return await self._read(run)

    async def speaking_spans(
        self,
        project: str,
        query: SpokenQuery,
        *,
        limit: int,
        after: tuple[int, str, str] | None = None,
    ) -> list[Span]:
        """Spans that may say what is asked for, newest start first; `after` is (start_ns, trace_id, span_id) of the last seen.

        None that says it is passed over, but one that does not may be among them: its text may stand elsewhere in the body.
        """
        checked(project=project, trace_id=query.trace_id, session_id=query.session_id)
        texts = (query.text, query.agent_name, query.provider, query.model)
        if not all(rows.storable(text) for text in texts):
            return []
        found = agent_queries.speaking_spans(self._database, project, query, after).limit(limit)
        return await self._read(lambda c: [rows.to_span(row) for row in c.execute(found)])

    async def find_agents(self, project: str, query: AgentQuery) -> Page[AgentTotals]:
        """One page of the agents that spans name, or of their versions, and how many there are; by aggregate queries."""
        checked(project=project)
        if not rows.storable(query.agent_name):
            return Page([])
        listed, number = agent_queries.agents(self._database, project, query)

        def run(connection: Connection) -> Page[AgentTotals]:
            found = [AgentTotals(**row._mapping) for row in connection.execute(listed)]
            return Page(found, connection.execute(number).scalar_one())

        return await self._read(run)
