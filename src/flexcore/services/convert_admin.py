"""Accounts, keys and the server as protos; the secret of a key is not among them."""

from flexcore.domain.model import Account, Key
from flexcore.engine.port import ServerInfo
from flexcore.services.convert import time_to_proto
from flexcore.v1 import admin_pb2


def account_to_proto(row: Account) -> admin_pb2.Account:
    """Convert an account."""
    return admin_pb2.Account(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        friendly_name=row.friendly_name,
    )


def key_to_proto(row: Key) -> admin_pb2.Key:
    """Convert a key."""
    return admin_pb2.Key(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        account_sid=row.account_sid,
        friendly_name=row.friendly_name,
        operator=row.operator,
        revoke_time=time_to_proto(row.revoke_time),
    )


def server_info_to_proto(info: ServerInfo) -> admin_pb2.ServerInfo:
    """Convert what a server says about itself."""
    return admin_pb2.ServerInfo(
        version=info.version,
        synchronous=info.synchronous,
        account_count=info.accounts,
        open_task_count=info.open_tasks,
        head_sequence=info.head_sequence,
        start_time=time_to_proto(info.start_time),
        data_version=info.data_version,
        commit_count=info.commits,
        dead_letter_count=info.dead_letters,
    )
