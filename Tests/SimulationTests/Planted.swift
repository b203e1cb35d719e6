import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// Defects that a test puts between the product's decisions and the world, to see that a checker finds them.
struct PlantedFaults {
  /// Puts what the planner chose into one zone.
  var plan: ([ChangeGroups.Change], World) -> [ChangeGroups.Change] = { changes, _ in changes }
  /// What is reaped next.
  var nextCondemned: (Namespace, ReapPage?) throws -> ReapPage? = { try $0.nextCondemned(after: $1) }
  /// Repair works.
  var isRepairing = true
  /// A datanode stores what it gives a receipt for.
  var isDurableBeforeReceipt = true
  /// A settled batch survives the process.
  var isLedgerSynced = true
  /// What is restored is made a new incarnation.
  var raisesIncarnation = true
  /// Which strays are surplus.
  var strays: (StrayPlan.Findings, StrayPlan) -> StrayPlan.Findings = { findings, _ in findings }
  /// What becomes of a pass, and how it promotes.
  var verdict: (ReconcilePass) -> ReconcilePass.Verdict = { $0.verdict }
  var promotion: (ChangeGroups.Change) -> ChangeGroups.Change = { $0 }
  /// How much space the trash is to give back.
  var missing: (ByteCount) -> ByteCount = { $0 }
  /// What the metadata says of chunks.
  var liveness: ([ChunkLiveness]) -> [ChunkLiveness] = { $0 }

  func nextCondemned(_ namespace: Namespace, after page: ReapPage?) throws -> ReapPage? {
    try nextCondemned(namespace, page)
  }
}
