"""Address configurations: what a first message to a business address starts."""

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.errors import AlreadyExists, InvalidArgument
from flexcore.domain.model import AddressConfiguration
from flexcore.engine.commands import (
    CreateAddressConfiguration,
    UpdateAddressConfiguration,
)
from flexcore.engine.decision import Decision
from flexcore.engine.setup.workflows import resolve_routing_workspace, resolve_workflow
from flexcore.engine.setup.workspaces import (
    Rows,
    refuse_full,
    resolve_task_channel,
)

AUTO_CREATION = ("none", "default", "interaction")


def create_address_configuration(
    decision: Decision, command: CreateAddressConfiguration
) -> Rows:
    """Configure a business address; an address has one configuration."""
    address = str(parse_address(command.address, "address"))
    taken = decision.state.where(AddressConfiguration, "address", address)
    if taken:
        raise AlreadyExists(
            f"address {address} is configured by {taken[0].sid}",
            metadata={"sid": taken[0].sid, "field": "address"},
        )
    count = decision.state.count_of(AddressConfiguration)
    most = limits.ADDRESS_CONFIGURATIONS_MAX
    refuse_full(count, most, "address configurations", decision.state.account_sid)
    row = AddressConfiguration(
        sid=decision.ids.sid("IG"),
        address=address,
        friendly_name=command.friendly_name,
        auto_creation=_checked_auto_creation(command.auto_creation),
        attributes=canonical(check_attributes(command.attributes)),
        priority=_checked("priority", command.priority, limits.PRIORITY_MAX),
        timeout_seconds=_checked(
            "timeout", command.timeout_seconds, limits.TASK_TIMEOUT_SECONDS_MAX
        ),
    )
    if row.auto_creation == "interaction":
        row = _route(
            decision,
            row,
            command.workspace_sid,
            command.workflow_sid,
            command.task_channel,
        )
    return (decision.create(row, "address-configuration.created"),)


def update_address_configuration(
    decision: Decision, command: UpdateAddressConfiguration
) -> Rows:
    """Change what later conversations start with; open ones stay as they are."""
    row = decision.get(command.sid, AddressConfiguration)
    decision.expect(row, command.expected_version)
    changes: dict[str, object] = {}
    if command.friendly_name is not None:
        changes["friendly_name"] = command.friendly_name
    if command.auto_creation is not None:
        changes["auto_creation"] = _checked_auto_creation(command.auto_creation)
    if command.attributes is not None:
        changes["attributes"] = canonical(check_attributes(command.attributes))
    if command.priority is not None:
        most = limits.PRIORITY_MAX
        changes["priority"] = _checked("priority", command.priority, most)
    if command.timeout_seconds is not None:
        most = limits.TASK_TIMEOUT_SECONDS_MAX
        changes["timeout_seconds"] = _checked("timeout", command.timeout_seconds, most)
    after = row.evolve(**changes)
    if after.auto_creation == "interaction":
        after = _route(
            decision,
            after,
            after.workspace_sid,
            after.workflow_sid
            if command.workflow_sid is None
            else command.workflow_sid,
            after.task_channel_sid
            if command.task_channel is None
            else command.task_channel,
        )
    routed = ("workspace_sid", "workflow_sid", "task_channel_sid")
    changes |= {name: getattr(after, name) for name in routed}
    return (decision.change(row, "address-configuration.updated", **changes),)


def _route(
    decision: Decision,
    row: AddressConfiguration,
    workspace_sid: str,
    workflow_sid: str,
    task_channel: str,
) -> AddressConfiguration:
    """Resolve now where its tasks will go, so that a message never finds a hole."""
    workspace = resolve_routing_workspace(decision, workspace_sid, workflow_sid)
    return row.evolve(
        workspace_sid=workspace.sid,
        workflow_sid=resolve_workflow(decision, workspace.sid, workflow_sid).sid,
        task_channel_sid=resolve_task_channel(
            decision, workspace.sid, task_channel
        ).sid,
    )


def _checked_auto_creation(text: str) -> str:
    if text not in AUTO_CREATION:
        raise InvalidArgument(
            "auto_creation", f"{text!r} is not one of {', '.join(AUTO_CREATION)}"
        )
    return text


def _checked(field: str, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise InvalidArgument(field, f"must be 0 to {most}, is {value}")
    return value
