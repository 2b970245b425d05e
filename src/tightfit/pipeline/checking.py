"""``tightfit audit`` and ``tightfit doctor``: is the adapter alive, is the machine ready."""

from __future__ import annotations

from tightfit.doctor import examine as doctor
from tightfit.model.audit import audit_folder as audit

__all__ = ["audit", "doctor"]
