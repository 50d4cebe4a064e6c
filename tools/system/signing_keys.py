"""The installation's own keys: risk's, which signs approvals, and those of operator, console and monitor.

A key is made at the first start. Later only ``rotate`` makes one: an installation whose key is gone says so, for what
was lost may have been taken. Public keys stay for ever, so that old tapes verify; a retired one is good for the
messages up to a sequence of the tape and for none behind it.
"""

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

from libs.files import write_atomically
from libs.keys.signing import (
    APPROVAL_DOMAIN,
    CONSOLE_ROLE,
    MONITOR_ROLE,
    OPERATOR_DOMAIN,
    ROLES,
    PublicKey,
    Signer,
    UnusableKey,
    public_keys_text,
    read_public_keys,
    read_retired,
    retired_file,
    role_of,
)
from libs.keys.verbs import CONSOLE_VERBS, MONITOR_VERBS
from libs.runtime.layout import StateLayout

DOMAINS = {
    **{ROLES[domain]: domain for domain in (OPERATOR_DOMAIN, APPROVAL_DOMAIN)},
    CONSOLE_ROLE: OPERATOR_DOMAIN,
    MONITOR_ROLE: OPERATOR_DOMAIN,
}
"""Role → what its key signs."""
SAYS = {CONSOLE_ROLE: CONSOLE_VERBS, MONITOR_ROLE: MONITOR_VERBS}
"""Role → what its key may say, where that is not everything."""

MADE_AGAIN = "run `presage bootstrap --state DIR --kubernetes FOLDER` again where it was first run"
"""Makes what an earlier build did not, and leaves the other keys as they are."""
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the operating system says of a folder that may only be read, as that of a Secret."""

log = logging.getLogger("presage.keys")


class SigningKeys:
    """The keys of one state directory. Making one changes the directory alone: what runs goes on with its own."""

    def __init__(self, layout: StateLayout) -> None:
        self._layout = layout
        self._private = {
            "operator": layout.operator_key,
            "risk": layout.risk_key,
            CONSOLE_ROLE: layout.console_key,
            MONITOR_ROLE: layout.monitor_key,
        }

    def signer(self, role: str) -> Signer:
        """The key of a role.

        Raises:
            UnusableKey: it is lost, cut or changed.
        """
        return Signer.load(DOMAINS[role], self._private[role], role)

    def prepare(self) -> None:
        """Make the keys that never were; see to it that each private key's public one is known.

        Raises:
            UnusableKey: the file of public or of retired keys is cut or changed; or a key is missing where none can be
                made, as the folder is mounted for reading alone.
        """
        known, public = self._known(), self._known()
        if not known and self._layout.tape_file.exists():
            log.warning(
                "%s was not there: it is made anew from the private keys; what retired ones signed does not verify",
                self._layout.public_keys,
            )
        for role, domain in DOMAINS.items():
            path = self._private[role]
            if not path.exists() and not _of_role(role, known):
                self._make(domain, path, role)
            try:
                signer = self.signer(role)
            except UnusableKey:
                # Who only reads needs no private key; who needs one is told.
                continue
            # What an operator made of a key's verbs stands.
            public.setdefault(signer.key_id, PublicKey(signer.public_key, SAYS.get(role)))
        read_retired(retired_file(self._layout.public_keys))
        if public != known:
            try:
                write_atomically(self._layout.public_keys, public_keys_text(public))
            except OSError as e:
                unknown = ", ".join(sorted(set(public) - set(known)))
                raise self._told(e, f"{self._layout.public_keys} to hold {unknown}") from e

    def _make(self, domain: str, path: Path, role: str) -> None:
        try:
            Signer.create(domain, path, role)
        except OSError as e:
            raise self._told(e, f"{path.name} in {path.parent}") from e

    def _told(self, error: OSError, expected: str) -> OSError | UnusableKey:
        """What to raise where the folder takes nothing. A mounted one was made by an earlier build, with a key less."""
        is_mounted = self._layout.keys != self._layout.root / "keys"
        if not is_mounted or error.errno not in READ_ONLY:
            return error
        return UnusableKey(f"expected {expected}, was none and cannot be made: {MADE_AGAIN}, then apply")

    def expect_all(self) -> None:
        """See to it that every role can sign.

        Raises:
            UnusableKey: a private key is lost, cut, or retired; or one that is not a role's own counts still, as the
                list of retired keys was taken away or a rotation broken off.
        """
        retired, known = self._retired(), self._known()
        for role in DOMAINS:
            signer = self.signer(role)
            if signer.key_id in retired:
                text = f"expected {self._private[role]} to hold a key that counts, was {signer.key_id}, which is retired"
                raise UnusableKey(f"{text}: `presage keys rotate {role}` makes another")
            if strange := [
                key for key in _of_role(role, known) if key != signer.key_id and key not in retired
            ]:
                text = f"expected every former key of {role} to be retired, was not {strange[0]}"
                raise UnusableKey(
                    f"{text}: put {retired_file(self._layout.public_keys)} back, or `presage keys rotate {role}`"
                )

    def rotate(self, role: str, last_seq: int) -> str:
        """Make a new key for a role; the ones before it count up to ``last_seq``. The id of the new one.

        Whatever a crash leaves of it, doing it again completes it: the new public key is known before its private
        key is there, and only then are the others retired.
        """
        path = self._private[role]
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        signer = Signer.create(DOMAINS[role], unfinished, role)
        known = self._known()
        public = {**known, signer.key_id: PublicKey(signer.public_key, SAYS.get(role))}
        write_atomically(self._layout.public_keys, public_keys_text(public))
        unfinished.replace(path)
        retired = self._retired()
        for key_id in _of_role(role, known):
            retired.setdefault(key_id, last_seq)
        self._write_retired(retired)
        return signer.key_id

    def tape_ends_at(self, last_seq: int) -> None:
        """The tape lost its tail: its sequences are used again, and no retired key is good for them."""
        retired = self._retired()
        kept = {key_id: min(seq, last_seq) for key_id, seq in retired.items()}
        if kept != retired:
            self._write_retired(kept)

    def rows(self) -> list[dict[str, Any]]:
        """Every key: ``role``, ``key_id``, ``state`` (current, retired or lost), ``last_seq`` of a retired one, ``says``.

        ``says``: the verbs it may say, ``None`` for all that its role may.
        """
        retired, known, rows = self._retired(), self._known(), []
        for role in DOMAINS:
            try:
                current = self.signer(role).key_id
            except UnusableKey:
                current = ""
            for key_id in _of_role(role, known):
                state = "retired" if key_id in retired else "current" if key_id == current else "lost"
                row = {"role": role, "key_id": key_id, "state": state, "last_seq": retired.get(key_id)}
                rows.append(row | {"says": known[key_id].says})
        return rows

    def _known(self) -> dict[str, PublicKey]:
        path = self._layout.public_keys
        return read_public_keys(path) if path.exists() else {}

    def _retired(self) -> dict[str, int]:
        return read_retired(retired_file(self._layout.public_keys))

    def _write_retired(self, retired: dict[str, int]) -> None:
        path = retired_file(self._layout.public_keys)
        write_atomically(path, json.dumps(retired, indent=1).encode())
        os.chmod(path, 0o600)


def _of_role(role: str, public: dict[str, PublicKey]) -> list[str]:
    return [key_id for key_id in public if role_of(key_id) == role]
