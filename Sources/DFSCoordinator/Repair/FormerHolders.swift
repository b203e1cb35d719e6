import DFSCore
import DFSRPC
import DFSWire

/// Finds nodes that have chunks of a group although they are no members of it: one that drains, or came back
/// after its slots were given away. Asked when the members do not have everything; answers are kept for a
/// while.
actor FormerHolders {
  private struct Answer {
    var groups: Set<GroupID>
    var boot: UInt64
    var at: ContinuousClock.Instant
  }

  private static let lifetime = Duration.seconds(30)
  private static let mostGroups = 200_000

  private let cluster: Cluster
  private let channels: NodeChannels
  private let now: @Sendable () -> ContinuousClock.Instant
  private var answers: [NodeID: Answer] = [:]

  init(cluster: Cluster, channels: NodeChannels, now: @escaping @Sendable () -> ContinuousClock.Instant) {
    self.cluster = cluster
    self.channels = channels
    self.now = now
  }

  /// Nodes in contact that have something of the group and are not among `members`. Those that do not answer
  /// are left out.
  func holders(of group: GroupID, otherThan members: Set<NodeID>) async -> [NodeID] {
    let time = now()
    let nodes = cluster.withState { state in
      state.membership.present.filter { $0.isInContact && !members.contains($0.id) }
    }
    let unknown = nodes.filter { member in
      guard let answer = answers[member.id] else { return true }
      return answer.boot != member.record.boot.rawValue || time - answer.at >= Self.lifetime
    }
    let channels = channels
    await withTaskGroup(of: (Member, Set<GroupID>?).self) { tasks in
      var waiting = unknown.makeIterator()
      func add() {
        guard let member = waiting.next() else { return }
        tasks.addTask { (member, try? await Self.groups(on: member.id, channels)) }
      }
      for _ in 0..<16 { add() }
      for await (member, groups) in tasks {
        if let groups {
          answers[member.id] = Answer(groups: groups, boot: member.record.boot.rawValue, at: time)
        }
        add()
      }
    }
    return nodes.map(\.id).filter { answers[$0]?.groups.contains(group) == true }
  }

  private static func groups(on node: NodeID, _ channels: NodeChannels) async throws -> Set<GroupID> {
    let channel = try channels.channel(to: node)
    var groups: Set<GroupID> = []
    var request = WireListGroupsRequest()
    request.node = node.rawValue
    while groups.count < mostGroups {
      let page = try await channel.call(
        DataNodeMethods.listGroups, request, options: CallOptions(timeout: .seconds(5)))
      groups.formUnion(page.groups.map { GroupID(rawValue: $0) })
      guard page.more, let last = page.groups.last else { break }
      request.after = last
    }
    return groups
  }
}
