"""Who may call what: one table, and nothing is allowed that is not in it.

`policy_of` holds the table against the descriptors, so that an RPC without an entry, or
an entry without an RPC, stops the server from starting.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor


class Access(Enum):
    """What a call needs."""

    OPEN = "no credential"
    #: what a worker reaches with it is its own: engine/ownership.py
    WORKER = "a key, or a worker's token"
    KEY = "a key"
    OPERATOR = "an operator key"


#: RPCs by what they need; every key may do everything within its own account, a worker's
#: token what stands under WORKER and nothing else
_TABLE: Final[Mapping[str, Mapping[Access, str]]] = {
    "RoutingService": {
        Access.WORKER: """
            GetTask ClaimTask GetReservation ListReservations AcceptReservation
            RejectReservation WrapReservation CompleteReservation StreamReservations
            AgentSession
        """,
        Access.KEY: """
            CreateTask BatchCreateTasks ListTasks UpdateTask CancelTask DeleteTask
            WrapTask CompleteTask ExplainTask GetWorkspaceStatistics
            GetTaskQueueStatistics GetWorkflowStatistics GetWorkerStatistics
            WatchStatistics
        """,
    },
    "InteractionService": {
        Access.KEY: """
            CreateInteraction GetInteraction ListInteractions CloseInteractionChannel
            CreateInvite ListInvites ListInteractionParticipants
        """,
    },
    "ConversationService": {
        Access.KEY: """
            CreateConversation GetConversation ListConversations CloseConversation
            AddParticipant RemoveParticipant ListParticipants SendMessage GetMessage
            ListMessages ListReceipts WatchConversation
        """,
    },
    "WorkspaceService": {
        Access.WORKER: "ListActivities GetWorker UpdateWorker",
        Access.KEY: """
            CreateWorkspace GetWorkspace ListWorkspaces UpdateWorkspace DeleteWorkspace
            GetCallbackSecret ImportWorkspace ExportWorkspace
            CreateActivity GetActivity UpdateActivity DeleteActivity
            CreateTaskChannel GetTaskChannel ListTaskChannels UpdateTaskChannel
            DeleteTaskChannel CreateTaskQueue GetTaskQueue ListTaskQueues
            UpdateTaskQueue DeleteTaskQueue CreateWorkflow GetWorkflow ListWorkflows
            UpdateWorkflow DeleteWorkflow GetWorkflowRevision ListWorkflowRevisions
            CreateWorker BatchCreateWorkers ListWorkers DeleteWorker GetWorkerChannel
            ListWorkerChannels UpdateWorkerChannel
        """,
    },
    "ChannelService": {
        Access.KEY: """
            CreateAddressConfiguration GetAddressConfiguration
            ListAddressConfigurations UpdateAddressConfiguration CreateSender GetSender
            ListSenders UpdateSender ListDeadLetters ReplayDeadLetter
        """,
    },
    "EventService": {Access.KEY: "WatchEvents ListEvents"},
    "AdminService": {
        Access.KEY: "GetServerInfo CreateKey ListKeys RevokeKey",
        Access.OPERATOR: "CreateAccount",
    },
}

#: what the server serves besides its own services
_FOREIGN: Final[Mapping[str, Access]] = {
    "/grpc.health.v1.Health/Check": Access.OPEN,
    "/grpc.health.v1.Health/List": Access.OPEN,
    "/grpc.health.v1.Health/Watch": Access.OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access.KEY,
}


def policy_of(
    services: Iterable[ServiceDescriptor],
    table: Mapping[str, Mapping[Access, str]] = _TABLE,
) -> Mapping[str, Access]:
    """Return what each full method name needs; ValueError unless table and RPCs agree."""
    policy = dict(_FOREIGN)
    for service in services:
        entries = {
            method: access
            for access, methods in table.get(service.name, {}).items()
            for method in methods.split()
        }
        declared = {method.name for method in service.methods}
        if entries.keys() != declared:
            odd = ", ".join(sorted(entries.keys() ^ declared))
            raise ValueError(f"policy and RPCs of {service.name} differ: {odd}")
        for method, access in entries.items():
            policy[f"/{service.full_name}/{method}"] = access
    return policy
