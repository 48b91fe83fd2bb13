"""What takes room and is no longer needed."""

from daemon import protocol, pruning, retention, views
from daemon.calls import Call, Table


async def plan_prune(call: Call, request: protocol.PlanPrune) -> views.PruneView:
    return await pruning.prune(call.services, dry_run=request.dry_run)


async def job_prune(call: Call, _request: protocol.JobPrune) -> views.JobPruneView:
    return views.JobPruneView(*await retention.prune_jobs(call.services))


TABLE: Table = {
    protocol.PlanPrune: plan_prune,
    protocol.JobPrune: job_prune,
}
