import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct PlacementTests {
  @Test(arguments: Engine.allCases)
  func `nodes are registered, change, and stay removed`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    var node = cluster.node(1)
    #expect(try await cluster.namespace.mutate(PutNode(node: node)).outcome.isNew)
    node.boot = BootID(rawValue: 2)
    node.state = .draining
    #expect(try await !cluster.namespace.mutate(PutNode(node: node)).outcome.isNew)
    #expect(try cluster.namespace.view().node(node.id) == node)
    try await cluster.namespace.mutate(PutNode(node: cluster.node(2)))
    #expect(try cluster.namespace.view().nodes().map(\.id.rawValue) == [1, 2])

    var wiped = node
    wiped.store = StoreID(rawValue: 77)
    #expect(await code { try await cluster.namespace.mutate(PutNode(node: wiped)) } == .failedPrecondition)
    node.state = .removed
    try await cluster.namespace.mutate(PutNode(node: node))
    node.state = .active
    #expect(await code { try await cluster.namespace.mutate(PutNode(node: node)) } == .failedPrecondition)
    var wide = cluster.node(3)
    wide.zone = String(repeating: "z", count: 256)
    #expect(await code { try await cluster.namespace.mutate(PutNode(node: wide)) } == .invalidArgument)
    try await cluster.finish()
  }

  /// A plan is made on what was empty a moment ago; a commit that came between must not be missed.
  @Test(arguments: Engine.allCases)
  func `who joins a group that has chunks is not full`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 4, groups: 1)
    let group = try cluster.group(0)
    let newcomer = try #require(try cluster.namespace.view().nodes().map(\.id).first { !group.members.contains($0) })
    func join(_ state: SlotState, _ group: PlacementGroup) async throws -> [GroupEpoch] {
      let slots = Array(group.slots.dropLast()) + [GroupSlot(node: newcomer, state: state)]
      return try await cluster.namespace.mutate(
        ChangeGroups(changes: [
          ChangeGroups.Change(id: group.id, expected: group.epoch, policy: group.policy, slots: slots)
        ])
      ).outcome.epochs
    }
    _ = try await cluster.upload("/file", chunks: 2, groups: 1)
    #expect(await code { try await join(.full, try cluster.group(0)) } == .stale)
    #expect(try cluster.group(0).members == group.members)
    _ = try await join(.filling, try cluster.group(0))
    #expect(try cluster.group(0).members.contains(newcomer))
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `groups change at the epoch the plan was made on, all or none`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 4, groups: 2)
    let (zero, one) = (try cluster.group(0), try cluster.group(1))
    #expect(zero.epoch == GroupEpoch(rawValue: 1))
    func change(_ group: PlacementGroup, _ slots: [GroupSlot], at epoch: GroupEpoch?) -> ChangeGroups.Change {
      ChangeGroups.Change(id: group.id, expected: epoch, policy: group.policy, slots: slots)
    }
    func apply(_ changes: [ChangeGroups.Change]) async throws -> [GroupEpoch] {
      try await cluster.namespace.mutate(ChangeGroups(changes: changes)).outcome.epochs
    }
    let vacant = Array(zero.slots.prefix(2)) + [.vacant]
    let stale = [change(zero, vacant, at: zero.epoch), change(one, one.slots, at: one.epoch.next)]
    #expect(await code { try await apply(stale) } == .stale)
    #expect(try cluster.group(0) == zero)
    #expect(try await apply([change(zero, vacant, at: zero.epoch)]) == [zero.epoch.next])
    #expect(try cluster.group(0).slots == vacant && cluster.group(0).members.count == 2)

    let twice = Array(repeating: zero.slots[0], count: 3)
    let unknown = [GroupSlot(node: NodeID(rawValue: 99), state: .full), .vacant, .vacant]
    #expect(await code { try await apply([change(one, twice, at: one.epoch)]) } == .invalidArgument)
    #expect(await code { try await apply([change(one, [.vacant], at: one.epoch)]) } == .invalidArgument)
    #expect(await code { try await apply([change(one, unknown, at: one.epoch)]) } == .failedPrecondition)
    #expect(await code { try await apply([]) } == .invalidArgument)
    #expect(await code { try await apply([change(one, one.slots, at: nil)]) } == .stale)
    #expect(try cluster.namespace.view().groups(after: nil, limit: 1).map(\.id.rawValue) == [0])
    #expect(try cluster.namespace.view().groups(after: zero.id, limit: 9).map(\.id.rawValue) == [1])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the derived index answers which chunks a group has, in pages`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 2)
    let file = try await cluster.upload("/f", chunks: 10, groups: 2)
    let sealed = try await cluster.begin("/open", chunks: 512, groups: 2).upload
    try await cluster.namespace.mutate(
      SealSegment(upload: sealed, segment: 0, chunks: cluster.stored(0..<512)))
    try await cluster.restart()
    var chunks: [ChunkID] = []
    while true {
      let page = try cluster.namespace.view().chunks(of: GroupID(rawValue: 1), after: chunks.last, limit: 100)
      chunks += page
      if page.count < 100 { break }
    }
    let expected =
      stride(from: 1, to: 10, by: 2).map { ChunkID(inode: file, index: UInt32($0)) }
      + stride(from: 1, to: 512, by: 2).map { ChunkID(inode: sealed, index: UInt32($0)) }
    #expect(chunks == expected)
    try await cluster.finish()
  }
}
