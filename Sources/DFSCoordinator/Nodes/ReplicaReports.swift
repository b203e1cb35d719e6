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

/// Reports of bad replicas: those that wait to be verified, and those that were found true.
///
/// A replica that was found bad stays known until its node has proved that what it lists is sound, or lists it no
/// more: a node that could not move it aside forgets that with its next start. A row says in the metadata which nodes
/// had any, so that a coordinator that starts has them read everything. Both are bounded. A report that finds no room
/// is dropped, for a reader that meets the replica again reports it again. Of what was found true, the oldest makes
/// room, and everything that its node has of the group is in doubt from then on.
package final class ReplicaReports: Sendable {
  package static let mostWaiting = 10_000
  package static let mostRemembered = 10_000

  /// What a node may list of a group though it is bad.
  package enum Doubt: Sendable, Hashable {
    case chunks(Set<ChunkID>)
    case everything
  }

  private struct Replica: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  private struct Place: Hashable {
    var group: GroupID
    var node: NodeID
  }
  private struct Finding {
    var group: GroupID
    var number: UInt64
  }
  private struct State {
    var waiting: OrderedDictionary<Replica, ReplicaReport> = [:]
    var confirmed: OrderedDictionary<Replica, Finding> = [:]
    /// The same by place.
    var chunks: [Place: Set<ChunkID>] = [:]
    /// Where some are not known: forgotten for want of room, or found by a coordinator before this one.
    var doubted: Set<Place> = []
    var findings: UInt64 = 0

    mutating func remove(_ replica: Replica) -> Place? {
      guard let finding = confirmed.removeValue(forKey: replica) else { return nil }
      let place = Place(group: finding.group, node: replica.node)
      chunks[place]?.remove(replica.chunk)
      if chunks[place]?.isEmpty == true { chunks[place] = nil }
      return place
    }
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
      guard state.confirmed[replica] == nil else { return false }
      state.findings += 1
      state.confirmed[replica] = Finding(group: report.group, number: state.findings)
      state.chunks[Place(group: report.group, node: report.node), default: []].insert(report.chunk)
      if state.confirmed.count > Self.mostRemembered, let oldest = state.confirmed.keys.first,
        let place = state.remove(oldest)
      {
        state.doubted.insert(place)
      }
      return true
    }
  }

  /// Puts everything that the node has of the group in doubt.
  package func doubt(_ group: GroupID, on node: NodeID) {
    state.withLock { _ = $0.doubted.insert(Place(group: group, node: node)) }
  }

  /// How many were found true so far: see `forget`.
  package var findings: UInt64 { state.withLock { $0.findings } }

  /// What the node may list of the group only after it has read it again.
  package func doubt(of group: GroupID, on node: NodeID) -> Doubt {
    let place = Place(group: group, node: node)
    return state.withLock { $0.doubted.contains(place) ? .everything : .chunks($0.chunks[place] ?? []) }
  }

  /// The replica was made anew, or every byte of it read and found good: the next report of it is news.
  package func forget(_ chunk: ChunkID, on node: NodeID) {
    state.withLock { _ = $0.remove(Replica(chunk: chunk, node: node)) }
  }

  /// Members were made full: whatever they list of the group was looked at, so the next report of it is news. What
  /// was told of `lost` chunks, which nobody has, stays known: nothing can be done about them again and again. So
  /// does what was found after the first so many `findings`: when the members were made full, it was not known.
  package func forget(
    _ group: GroupID, on nodes: some Sequence<NodeID>, lost: some Sequence<ChunkID>, of findings: UInt64
  ) {
    let lost = Set(lost)
    state.withLock { state in
      for place in nodes.map({ Place(group: group, node: $0) }) {
        state.doubted.remove(place)
        for chunk in (state.chunks[place] ?? []).subtracting(lost) {
          let replica = Replica(chunk: chunk, node: place.node)
          if let finding = state.confirmed[replica], finding.number <= findings { _ = state.remove(replica) }
        }
      }
    }
  }

  package var waitingCount: Int { state.withLock { $0.waiting.count } }
}
