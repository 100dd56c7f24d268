"""KMS: what is due for keys is done: those whose waiting time is over are removed, those on a rota get new material.

Each leaves the record that KMS leaves (DeleteKey, RotateKey) in its own commit. Source: KMS guide, both log entries.
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Resource
from opentrail.ports import Line
from opentrail.record.service_event import service_event
from opentrail.rows.kms import DUES, KEYS, Key, drop_key, due_part, put_key
from opentrail.services.kms_rotation import AUTOMATIC, is_rotatable_now, rotate
from opentrail.state import Unit

SOURCE = "kms.amazonaws.com"
PUT_OFF_SECONDS = 86_400
"""A key that cannot be rotated now is looked at again a day later."""


def due_step(unit: Unit) -> bool:
    """Do the one thing that has been due longest; False if nothing is due."""
    rows = DUES.page(unit, limit=1)
    if not rows:
        return False
    when, account, region, key_id = DUES.parts(rows[0][0])
    if when > due_part(int(unit.now)):
        return False
    key = KEYS.get(unit, account, region, key_id)
    if key is None:
        DUES.delete(unit, when, account, region, key_id)
    elif key.delete_at and due_part(key.delete_at) == when:
        _delete(unit, key)
    else:
        _rotate(unit, key)
    return True


def _delete(unit: Unit, key: Key) -> None:
    drop_key(unit, key)
    _tell(unit, key, "DeleteKey", {"keyId": key.key_id})


def _rotate(unit: Unit, key: Key) -> None:
    if not is_rotatable_now(key):
        put_key(unit, replace(key, rotate_at=float(int(unit.now) + PUT_OFF_SECONDS)), key)
        return
    rotate(unit, key, AUTOMATIC)
    _tell(unit, key, "RotateKey", {"rotationType": AUTOMATIC, "keyId": key.key_id})


def _tell(unit: Unit, key: Key, name: str, details: dict[str, str]) -> None:
    line = service_event(
        unit.house.clock.uuid,
        account_id=key.account_id,
        region=key.region,
        source=SOURCE,
        name=name,
        at=unit.now,
        resources=[Resource("AWS::KMS::Key", key.arn, key.account_id)],
        answered={"keyId": key.arn},
        details=details,
    )
    unit.events.append(Line("record", line))
