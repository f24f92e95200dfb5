"""What a missed offer does to its worker (policy missed_offer), and the way back."""

from flexcore.domain.model import Worker, Workspace
from flexcore.engine.decision import Decision
from flexcore.engine.setup.activities import resolve_activity
from flexcore.engine.setup.intent import move_to
from flexcore.engine.setup.policies import policies_of


def follow(decision: Decision, worker: Worker, queue_sid: str) -> None:
    """Count a missed offer and take the worker out if the policy says so."""
    policies = policies_of(decision.state, worker.workspace_sid, queue_sid)
    missed = worker.missed_offers + 1
    rule, limit = policies.missed_offer, policies.missed_offer_limit
    leaves = rule in ("offline", "soft_away") or (
        rule == "away_after" and missed >= limit
    )
    counted_out = leaves and rule == "away_after"
    worker = decision.change(
        worker, "worker.missed-offer", missed_offers=0 if counted_out else missed
    )
    if not leaves:
        return
    workspace = decision.state.need(worker.workspace_sid, Workspace)
    away = resolve_activity(decision, workspace.sid, workspace.timeout_activity_sid)
    if rule == "soft_away" and worker.activity_sid == away.sid:
        return  # away already, and the way back stays as it is
    back = worker.return_activity_sid or worker.activity_sid
    worker = move_to(decision, worker, away, then=worker.next_activity_sid)
    if rule == "soft_away":
        decision.change(worker, return_activity_sid=back)


def answered(decision: Decision, worker_sid: str) -> None:
    """Count anew from an accepted offer, and see the worker."""
    worker = decision.state.need(worker_sid, Worker)
    if worker.missed_offers:
        decision.change(worker, missed_offers=0)
    seen(decision, worker_sid)


def seen(decision: Decision, worker_sid: str) -> Worker:
    """Bring a worker back who was taken out softly and has done something."""
    worker = decision.state.need(worker_sid, Worker)
    if not worker.return_activity_sid:
        return worker
    back = resolve_activity(decision, worker.workspace_sid, worker.return_activity_sid)
    return move_to(decision, worker, back, then=worker.next_activity_sid)
