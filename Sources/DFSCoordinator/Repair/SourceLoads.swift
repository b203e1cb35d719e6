import DFSCore
import Synchronization

/// Bytes that each node is being asked for by repair now, so that the next group asks another one.
final class SourceLoads: Sendable {
  private let loads = Mutex<[NodeID: UInt64]>([:])

  var now: [NodeID: UInt64] { loads.withLock { $0 } }

  func add(_ asked: [NodeID: UInt64]) {
    loads.withLock { loads in for (node, bytes) in asked { loads[node, default: 0] += bytes } }
  }

  func remove(_ asked: [NodeID: UInt64]) {
    loads.withLock { loads in
      for (node, bytes) in asked {
        let rest = (loads[node] ?? 0) - min(bytes, loads[node] ?? 0)
        loads[node] = rest == 0 ? nil : rest
      }
    }
  }
}

extension ReconcilePage.Plan {
  /// Bytes that the first choice of each order is asked for.
  var askedBytes: [NodeID: UInt64] {
    orders.values.joined().reduce(into: [:]) { asked, order in
      if let source = order.sources.first { asked[source, default: 0] += UInt64(order.length) }
    }
  }
}
