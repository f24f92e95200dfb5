"""The services and their interceptor, put together for a server."""

from typing import Final

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from flexcore.domain.clock import SystemClock
from flexcore.domain.ids import Ids
from flexcore.engine.port import Port
from flexcore.services.admin import AdminService
from flexcore.services.channel import ChannelService
from flexcore.services.conversation import ConversationService
from flexcore.services.event import EventService
from flexcore.services.interaction import InteractionService
from flexcore.services.interceptor import Interceptor
from flexcore.services.policy import policy_of
from flexcore.services.routing import RoutingService
from flexcore.services.rules import Rules
from flexcore.services.shown import Shown
from flexcore.services.workspace import WorkspaceService
from flexcore.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    channel_service_pb2,
    channel_service_pb2_grpc,
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    interaction_service_pb2,
    interaction_service_pb2_grpc,
    routing_service_pb2,
    routing_service_pb2_grpc,
    workspace_service_pb2,
    workspace_service_pb2_grpc,
)

_FILES: Final[tuple[FileDescriptor, ...]] = (
    routing_service_pb2.DESCRIPTOR,
    interaction_service_pb2.DESCRIPTOR,
    conversation_service_pb2.DESCRIPTOR,
    workspace_service_pb2.DESCRIPTOR,
    channel_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
)

#: every service of this package, the ones to read first leading
SERVICES: Final[tuple[ServiceDescriptor, ...]] = tuple(
    service for file in _FILES for service in file.services_by_name.values()
)
#: their full names, as health and reflection list them
SERVICE_NAMES: Final[tuple[str, ...]] = tuple(each.full_name for each in SERVICES)


def add_services(server: grpc.aio.Server, port: Port) -> None:
    """Add every service to `server`."""
    shown = Shown()
    routing_service_pb2_grpc.add_RoutingServiceServicer_to_server(
        RoutingService(port, shown), server
    )
    interaction_service_pb2_grpc.add_InteractionServiceServicer_to_server(
        InteractionService(port), server
    )
    conversation_service_pb2_grpc.add_ConversationServiceServicer_to_server(
        ConversationService(port, shown), server
    )
    workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server(
        WorkspaceService(port), server
    )
    channel_service_pb2_grpc.add_ChannelServiceServicer_to_server(
        ChannelService(port), server
    )
    event_service_pb2_grpc.add_EventServiceServicer_to_server(
        EventService(port, shown), server
    )
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(
        AdminService(port), server
    )


def build_interceptor(port: Port, ids: Ids | None = None) -> Interceptor:
    """Build what stands before every servicer; ValueError if an RPC has no policy.

    `ids` draws the error ids of what nobody foresaw.
    """
    ids = ids or Ids(SystemClock())
    requests = (method.input_type for each in SERVICES for method in each.methods)
    return Interceptor(port, policy_of(SERVICES), Rules(requests), ids)
