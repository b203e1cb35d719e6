import DFSCore

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
  private let inventories: NodeInventories
  private let hanging: HangingNodes
  private let now: @Sendable () -> ContinuousClock.Instant
  private var answers: [NodeID: Answer] = [:]

  init(
    cluster: Cluster, inventories: NodeInventories, hanging: HangingNodes,
    now: @escaping @Sendable () -> ContinuousClock.Instant
  ) {
    self.cluster = cluster
    self.inventories = inventories
    self.hanging = hanging
    self.now = now
  }

  /// What was found of a group beside its members.
  struct Found: Sendable {
    /// Nodes in contact that have something of it.
    var holders: [NodeID] = []
    /// Nodes that may have something of it and could not be asked: they do not answer, or have not registered
    /// with this coordinator yet. One that is out is not waited for.
    var silent: Set<NodeID> = []
  }

  /// Asks all nodes but `members` for the group. `anew` trusts no answer from before.
  func holders(of group: GroupID, otherThan members: Set<NodeID>, anew: Bool = false) async -> Found {
    let time = now()
    let others = cluster.withState { state in
      state.membership.present.filter { !$0.isGone && !members.contains($0.id) }
    }
    let nodes = others.filter(\.isInContact)
    let unknown = nodes.filter { member in
      guard !anew, let answer = answers[member.id] else { return true }
      return answer.boot != member.record.boot.rawValue || time - answer.at >= Self.lifetime
    }
    let (inventories, hanging, now) = (inventories, hanging, now)
    var found = Found(silent: Set(others.map(\.id)).subtracting(nodes.map(\.id)))
    await withTaskGroup(of: (Member, Set<GroupID>?).self) { tasks in
      var waiting = unknown.makeIterator()
      func add() {
        guard let member = waiting.next() else { return }
        tasks.addTask {
          let groups = try? await hanging.ask(member.id, now) {
            try await Self.groups(on: member.id, inventories)
          }
          return (member, groups)
        }
      }
      for _ in 0..<16 { add() }
      for await (member, groups) in tasks {
        if let groups {
          answers[member.id] = Answer(groups: groups, boot: member.record.boot.rawValue, at: time)
        } else {
          found.silent.insert(member.id)
        }
        add()
      }
    }
    found.holders = nodes.map(\.id).filter { node in
      !found.silent.contains(node) && answers[node]?.groups.contains(group) == true
    }
    return found
  }

  private static func groups(on node: NodeID, _ inventories: NodeInventories) async throws -> Set<GroupID> {
    var groups: Set<GroupID> = []
    var last: GroupID?
    while groups.count < mostGroups {
      let page = try await inventories.groups(on: node, after: last)
      groups.formUnion(page.groups)
      guard page.more else { break }
      last = page.groups.last
    }
    return groups
  }
}
