"""The sync's own tables in BigQuery: definitions, typed reads and writes, leases, checkpoints.

All ledger SQL is in this folder. A caller sees `model.ports.Ledger` and `model.ports.Lease`.
"""

from sync.ledger.lease import RunLease
from sync.ledger.leases import LeaseTable
from sync.ledger.ledger import BigQueryLedger
from sync.ledger.tables import LedgerTables

__all__ = ["BigQueryLedger", "LeaseTable", "LedgerTables", "RunLease"]
