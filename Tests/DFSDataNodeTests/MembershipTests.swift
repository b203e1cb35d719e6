import DFSCore
import Testing

@testable import DFSDataNode

@Suite struct LeaseGuardTests {
  private let start = ContinuousClock.now

  @Test func `without a grant nothing may be written`() { #expect(!LeaseGuard().acceptsWrites(at: start)) }

  @Test func `a grant gives half of the lease, from the moment it was asked for`() {
    var lease = LeaseGuard()
    lease.grant(.seconds(10), askedAt: start)
    #expect(lease.acceptsWrites(at: start.advanced(by: .milliseconds(4999))))
    #expect(!lease.acceptsWrites(at: start.advanced(by: .seconds(5))))
  }

  @Test func `a late answer to an old heartbeat shortens nothing`() {
    var lease = LeaseGuard()
    lease.grant(.seconds(10), askedAt: start.advanced(by: .seconds(2)))
    lease.grant(.seconds(10), askedAt: start)
    #expect(lease.acceptsWrites(at: start.advanced(by: .milliseconds(6999))))
  }

  @Test func `a revoked right is gone at once`() {
    var lease = LeaseGuard()
    lease.grant(.seconds(10), askedAt: start)
    lease.revoke()
    #expect(!lease.acceptsWrites(at: start))
  }
}

@Suite struct GroupEpochsTests {
  private let group = GroupID(rawValue: 4)
  private func epoch(_ number: UInt64) -> GroupEpoch { GroupEpoch(rawValue: number) }

  @Test func `a transfer at an older epoch is refused and told the newer one`() {
    let epochs = GroupEpochs([group: epoch(5)])
    let error = #expect(throws: DFSError.self) { try epochs.admit(group, at: epoch(4)) }
    #expect(error?.code == .stale)
    #expect(error?.metadata["group_epoch"] == "5")
  }

  @Test func `the known epoch, a newer one and an unknown group are admitted`() throws {
    let epochs = GroupEpochs([group: epoch(5)])
    try epochs.admit(group, at: epoch(5))
    try epochs.admit(group, at: epoch(9))
    try epochs.admit(GroupID(rawValue: 8), at: epoch(1))
  }

  @Test func `only higher epochs rise, each group once`() {
    var epochs = GroupEpochs([group: epoch(5)])
    let news = [(group, epoch(4)), (group, epoch(7)), (group, epoch(6)), (GroupID(rawValue: 9), epoch(1))]
    let rising = epochs.rising(news)
    #expect(rising == [group: epoch(7), GroupID(rawValue: 9): epoch(1)])
    #expect(epochs[group] == epoch(5))
    epochs.raise(rising)
    #expect(epochs[group] == epoch(7))
    epochs.raise([group: epoch(6)])
    #expect(epochs[group] == epoch(7))
  }
}

@Suite struct CoordinatorFenceTests {
  private let cluster = ClusterID(rawValue: 77)
  private func epoch(_ incarnation: UInt16, _ term: UInt64) -> Epoch {
    Epoch(incarnation: incarnation, term: term)
  }
  private func revision(_ number: UInt64) -> Revision { Revision(rawValue: number) }
  private func fence(_ incarnation: UInt16 = 1, _ term: UInt64 = 4, at number: UInt64 = 100)
    -> CoordinatorFence
  {
    CoordinatorFence(.init(cluster: cluster, epoch: epoch(incarnation, term), revision: revision(number)))
  }

  @Test func `a fresh store joins the first cluster it meets, for ever`() throws {
    var fence = CoordinatorFence(.init(cluster: nil, epoch: .zero, revision: .zero))
    let seen = try fence.admit(cluster: cluster, epoch: epoch(0, 1), revision: revision(3))
    #expect(seen == .init(cluster: cluster, epoch: epoch(0, 1), revision: revision(3)))
    fence.adopt(try #require(seen))
    let error = #expect(throws: DFSError.self) {
      try fence.admit(cluster: ClusterID(rawValue: 78), epoch: epoch(0, 1), revision: revision(3))
    }
    #expect(error?.code == .failedPrecondition)
  }

  @Test func `a higher epoch must become durable, the same one need not`() throws {
    #expect(try fence().admit(epoch: epoch(1, 4), revision: revision(100)) == nil)
    #expect(
      try fence().admit(epoch: epoch(1, 5), revision: revision(101))
        == .init(cluster: cluster, epoch: epoch(1, 5), revision: revision(101)))
  }

  @Test func `a coordinator of an earlier epoch is refused`() {
    let error = #expect(throws: DFSError.self) {
      try fence().admit(epoch: epoch(1, 3), revision: revision(900))
    }
    #expect(error?.code == .stale)
  }

  @Test func `a coordinator whose metadata went backwards is refused, even with a higher term`() {
    #expect(throws: DFSError.self) { try fence().admit(epoch: epoch(1, 4), revision: revision(99)) }
    #expect(throws: DFSError.self) { try fence().admit(epoch: epoch(1, 9), revision: revision(99)) }
  }

  @Test func `a restore with a raised incarnation may go back to an older revision`() throws {
    let seen = try fence().admit(epoch: epoch(2, 1), revision: revision(20))
    #expect(seen == .init(cluster: cluster, epoch: epoch(2, 1), revision: revision(20)))
  }

  @Test func `an order without a revision is fenced by its epoch alone`() throws {
    #expect(try fence().admit(epoch: epoch(1, 4), revision: nil) == nil)
    #expect(try fence().admit(epoch: epoch(1, 6), revision: nil)?.revision == revision(100))
  }

  @Test func `revisions that were observed count`() {
    var fence = fence()
    fence.observe(revision(150))
    fence.observe(revision(120))
    #expect(fence.seen.revision == revision(150))
    #expect(throws: DFSError.self) { try fence.admit(epoch: epoch(1, 4), revision: revision(149)) }
  }
}
