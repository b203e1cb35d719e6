import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// Defects that a test puts between the product's decisions and the world, to see that a checker finds them.
struct PlantedFaults {
  /// Puts what the planner chose into one zone.
  var plan: ([ChangeGroups.Change]) -> [ChangeGroups.Change] = { $0 }
  /// What is reaped next.
  var nextCondemned: (Namespace, ReapPage?) throws -> ReapPage? = { try $0.nextCondemned(after: $1) }

  func nextCondemned(_ namespace: Namespace, after page: ReapPage?) throws -> ReapPage? {
    try nextCondemned(namespace, page)
  }
}
