package import DFSCore
import DFSWire
import OrderedCollections
import Synchronization

/// What was told of a replica.
package struct ReplicaReport: Sendable, Hashable {
  package enum Fault: Sendable, Hashable {
    case corrupt
    case missing
    case unreachable
  }

  package var chunk: ChunkID
  package var group: GroupID
  package var node: NodeID
  package var fault: Fault

  package init(chunk: ChunkID, group: GroupID, node: NodeID, fault: Fault) {
    self.chunk = chunk
    self.group = group
    self.node = node
    self.fault = fault
  }
}

extension ReplicaReport {
  /// Throws `.invalidArgument` for a fault that this version does not know.
  init(_ wire: WireReplicaReport) throws {
    let fault: Fault
    switch wire.fault {
    case .corrupt: fault = .corrupt
    case .missing: fault = .missing
    case .unreachable: fault = .unreachable
    case .unspecified, .UNRECOGNIZED:
      throw DFSError(.invalidArgument, "a report must say what was wrong with the replica")
    }
    self.init(
      chunk: ChunkID(wire.chunk), group: GroupID(rawValue: wire.group), node: NodeID(rawValue: wire.node),
      fault: fault)
  }
}

/// Reports of bad replicas: those that wait to be verified, and those that were found true. Both are bounded;
/// a report that finds no room is dropped, for a reader that meets the replica again reports it again.
package final class ReplicaReports: Sendable {
  package static let mostWaiting = 10_000
  package static let mostRemembered = 10_000

  private struct Replica: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  private struct State {
    var waiting: OrderedDictionary<Replica, ReplicaReport> = [:]
    var confirmed: OrderedDictionary<Replica, GroupID> = [:]
  }
  private let state = Mutex(State())

  package init() {}

  /// Queues reports for verification and gives those that are news: not of a replica that waits already or
  /// was found bad.
  package func add(_ reports: [ReplicaReport]) -> [ReplicaReport] {
    state.withLock { state in
      reports.filter { report in
        let replica = Replica(chunk: report.chunk, node: report.node)
        guard state.confirmed[replica] == nil, state.waiting[replica] == nil else { return false }
        guard state.waiting.count < Self.mostWaiting else { return false }
        state.waiting[replica] = report
        return true
      }
    }
  }

  package func take(_ limit: Int) -> [ReplicaReport] {
    state.withLock { state in
      let taken = state.waiting.values.prefix(limit)
      state.waiting.removeFirst(taken.count)
      return Array(taken)
    }
  }

  /// Whether the replica was found bad before, and not made anew since.
  package func isKnown(_ report: ReplicaReport) -> Bool {
    state.withLock { $0.confirmed[Replica(chunk: report.chunk, node: report.node)] != nil }
  }

  /// Remembers a report that was found true. False when it was known.
  package func confirm(_ report: ReplicaReport) -> Bool {
    state.withLock { state in
      let replica = Replica(chunk: report.chunk, node: report.node)
      state.waiting.removeValue(forKey: replica)
      guard state.confirmed.updateValue(report.group, forKey: replica) == nil else { return false }
      if state.confirmed.count > Self.mostRemembered { state.confirmed.removeFirst() }
      return true
    }
  }

  /// The replica was made anew: the next report of it is news.
  package func forget(_ chunk: ChunkID, on node: NodeID) {
    state.withLock { _ = $0.confirmed.removeValue(forKey: Replica(chunk: chunk, node: node)) }
  }

  /// Members were made full: the next report of what they have of the group is news. What was told of `lost`
  /// chunks, which nobody has, stays known: nothing can be done about them again and again.
  package func forget(_ group: GroupID, on nodes: some Sequence<NodeID>, lost: some Sequence<ChunkID>) {
    let (nodes, lost) = (Set(nodes), Set(lost))
    state.withLock { state in
      state.confirmed.removeAll { replica, of in
        of == group && nodes.contains(replica.node) && !lost.contains(replica.chunk)
      }
    }
  }

  package var waitingCount: Int { state.withLock { $0.waiting.count } }
}
