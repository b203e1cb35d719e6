import DFSCore
package import DFSJobs
import DFSObservability
import DFSRPC
import DFSWire
import Metrics
import Synchronization

/// Chooses the datanodes that keep copies of the metadata, and looks after their number. The sending itself is done
/// by `MetadataCopies`.
package struct CopyMetadata: Job {
  package let name = "copy_metadata"
  package let what = "Keeps copies of the metadata on datanodes, so that the coordinator's disk may be lost."
  /// Without copies a lost disk takes every name with it: nobody pauses this by mistake.
  package let isVital = true

  private final class Memory: Sendable {
    /// Whether a node has a copy of this history on its disk, as far as it was asked.
    let hasCopy = Mutex<[NodeID: Bool]>([:])
  }

  private let copies: MetadataCopies
  private let plan: CopyPlan
  private let age: @Sendable () -> Duration
  private let memory = Memory()

  /// Nodes that were there before the start get so long to come back, for they may have a copy already.
  private static let settleTime = Duration.seconds(3)
  private static let mostAsked = 32

  /// `age` is that of this coordinator's process.
  package init(copies: MetadataCopies, wanted: Int, age: @escaping @Sendable () -> Duration) {
    self.copies = copies
    self.age = age
    plan = CopyPlan(wanted: wanted)
  }

  package func step() async throws -> Pace {
    let members = copies.cluster.withState { $0.membership.present }.filter { $0.life != .out }
    let isComplete = members.allSatisfy { $0.boot != nil }
    guard isComplete || age() >= Self.settleTime else { return .after(.milliseconds(250)) }
    await ask(members.filter(\.isInContact).map(\.id))
    let known = memory.hasCopy.withLock { $0 }
    let present = Dictionary(
      copies.board.copies.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
    let candidates = members.filter { mayKeep($0) }.map { member in
      CopyPlan.Candidate(
        node: member.id, zone: member.zone, disk: member.disk, free: member.free,
        hasCopy: known[member.id] == true || present[member.id]?.mark != nil,
        isComplete: present[member.id]?.isComplete == true,
        isReady: member.isInContact && member.isWritable)
    }
    copies.want(plan.choose(from: candidates, keeping: copies.board.wanted))
    report()
    return .after(.seconds(1))
  }

  /// Draining nodes and full disks give their copies away, those in maintenance keep them for their return.
  private func mayKeep(_ member: Member) -> Bool {
    switch member.record.state {
    case .active, .maintenance: !member.record.isSuspect && !copies.board.isFull(member.id)
    case .draining, .out, .removed: false
    }
  }

  /// Asks nodes that were never asked for what they have.
  private func ask(_ nodes: [NodeID]) async {
    let new = memory.hasCopy.withLock { known in nodes.filter { known[$0] == nil } }.prefix(Self.mostAsked)
    let (cluster, incarnation) = (copies.namespace.cluster, copies.namespace.epoch.incarnation)
    await withTaskGroup(of: (NodeID, Bool).self) { [channels = copies.channels] group in
      for node in new {
        group.addTask {
          let options = CallOptions(timeout: .seconds(2))
          let header = try? await channels.channel(to: node).call(
            DataNodeMethods.readMetadata, .with { $0.headerOnly = true }, options: options
          ) { reader in try await reader.next()?.header }
          guard let header else { return (node, false) }
          return (
            node,
            header.round > 0 && header.cluster == cluster.rawValue
              && header.epoch.incarnation == UInt32(incarnation)
          )
        }
      }
      for await (node, hasCopy) in group { memory.hasCopy.withLock { $0[node] = hasCopy } }
    }
  }

  private func report() {
    let all = copies.board.copies
    Gauge(label: MetricNames.coordinatorMetadataCopiesTotal).record(all.count(where: \.isComplete))
    let lag = all.filter(\.isComplete).map(\.lag).max() ?? .zero
    Gauge(label: MetricNames.coordinatorMetadataLagSeconds).record(
      Double(lag.components.seconds) + Double(lag.components.attoseconds) / 1e18)
  }
}
