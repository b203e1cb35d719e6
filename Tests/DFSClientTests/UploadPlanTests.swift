import DFSCore
import DFSCrypto
import DFSWire
import TestSupport
import Testing

@testable import DFSClient

struct UploadPlanTests {
  private let start = ContinuousClock.now

  private func limits(inFlight: Int = 2, segment: Int = 4, ahead: Int = 8) -> UploadPlan.Limits {
    var limits = UploadPlan.Limits()
    limits.inFlight = inFlight
    limits.segment = segment
    limits.ahead = ahead
    return limits
  }

  private func slots(_ range: Range<UInt32>, group: UInt32 = 1, isLastResort: Bool = false) -> [UploadPlan
    .Slot]
  {
    range.map { UploadPlan.Slot(index: $0, group: GroupID(rawValue: group), isLastResort: isLastResort) }
  }

  private func plan(
    chunks: Int?, slots: [UploadPlan.Slot], limits: UploadPlan.Limits? = nil, lease: Duration = .seconds(600)
  ) -> UploadPlan {
    UploadPlan(
      chunkCount: chunks, limits: limits ?? self.limits(), slots: slots, lease: lease, now: start)
  }

  private func chunk(_ slot: UploadPlan.Slot, length: UInt32 = 65_536, receipts: Int = 3)
    -> UploadPlan.WrittenChunk
  {
    UploadPlan.WrittenChunk(
      index: slot.index, group: slot.group, length: length,
      root: SHA256.hash([UInt8(truncatingIfNeeded: slot.index)]),
      receipts: Array(repeating: WireReceipt(), count: receipts))
  }

  /// Everything that can be started now.
  private func steps(_ plan: inout UploadPlan, at now: ContinuousClock.Instant? = nil) throws -> [UploadPlan
    .Step]
  {
    var steps: [UploadPlan.Step] = []
    while true {
      let step = try plan.nextStep(now: now ?? start) { _ in true }
      steps.append(step)
      switch step {
      case .wait, .done: return steps
      default: continue
      }
    }
  }

  private func writes(_ steps: [UploadPlan.Step]) -> [(position: Int, slot: UploadPlan.Slot)] {
    steps.compactMap { step in
      if case .write(let position, let slot, _) = step { (position, slot) } else { nil }
    }
  }

  @Test func `a file of one chunk is written and committed with its segment`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1))
    let first = writes(try steps(&plan))
    #expect(first.map(\.position) == [0])
    let written = chunk(first[0].slot, length: 100)
    plan.wrote(0, written, now: start)
    guard case .commit(let commit) = try steps(&plan)[0] else { return #expect(Bool(false), "no commit") }
    #expect(commit.chunkCount == 1 && commit.length == 100 && commit.lastSegment == [written])
    #expect(commit.root == written.root)
    plan.committed()
    #expect(try steps(&plan) == [.done])
  }

  @Test func `no more chunks are in flight than the limit`() throws {
    var plan = plan(chunks: 10, slots: slots(0..<10), limits: limits(inFlight: 3))
    let first = writes(try steps(&plan))
    #expect(first.count == 3)
    plan.wrote(first[1].position, chunk(first[1].slot), now: start)
    #expect(writes(try steps(&plan)).count == 1)
  }

  @Test func `full segments are sealed in order and the last one goes with the commit`() throws {
    var plan = plan(chunks: 10, slots: slots(0..<10), limits: limits(inFlight: 10))
    var running: [(position: Int, slot: UploadPlan.Slot)] = []
    var sealed: [Int] = []
    var last: Int?
    while last == nil {
      for step in try steps(&plan) {
        switch step {
        case .write(let position, let slot, _): running.append((position, slot))
        case .seal(let segment, let chunks):
          #expect(chunks.count == 4)
          sealed.append(segment)
          plan.sealed(segment)
        case .commit(let commit): last = commit.lastSegment.count
        default: break
        }
      }
      // The youngest first: nothing can be sealed before the first segment is complete.
      if let (position, slot) = running.popLast() { plan.wrote(position, chunk(slot), now: start) }
    }
    #expect(sealed == [0, 1] && last == 2)
  }

  @Test func `the root of the commit is the tree over all chunks, sealed or not`() throws {
    var plan = plan(chunks: 10, slots: slots(0..<10), limits: limits(inFlight: 10, ahead: 16))
    var roots: [Int: Digest] = [:]
    var commit: UploadPlan.Commit?
    while commit == nil {
      for step in try steps(&plan) {
        switch step {
        case .write(let position, let slot, _):
          roots[position] = chunk(slot).root
          plan.wrote(position, chunk(slot), now: start)
        case .seal(let segment, _): plan.sealed(segment)
        case .commit(let final): commit = final
        default: break
        }
      }
    }
    #expect(commit?.root == MerkleTree.root(of: (0..<10).compactMap { roots[$0] }))
    #expect(commit?.lastSegment.count == 2)
    #expect(commit?.length == Int64(655_360))
  }

  @Test func `a chunk that failed goes again under a new index`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<2))
    let first = writes(try steps(&plan))[0]
    plan.writeFailed(0, group: first.slot.group, former: nil, DFSError(.unavailable, "gone"), now: start)
    let second = writes(try steps(&plan))[0]
    #expect(second.position == 0 && second.slot.index != first.slot.index)
    #expect(plan.rewritten == 1)
  }

  @Test func `indices of a group that cannot be written are left for others while there are others`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1, group: 7) + slots(1..<2, group: 8))
    let step = try plan.nextStep(now: start) { $0.rawValue != 7 }
    #expect(step == .write(position: 0, slot: slots(1..<2, group: 8)[0], former: nil))
  }

  @Test func `with only bad groups new indices are asked for, and the answer is used whatever it is`() throws
  {
    var plan = plan(chunks: 1, slots: slots(0..<1, group: 7))
    guard case .allocate = try plan.nextStep(now: start, canWrite: { _ in false }) else {
      return #expect(Bool(false), "no allocation")
    }
    guard case .wait = try plan.nextStep(now: start, canWrite: { _ in false }) else {
      return #expect(Bool(false), "two allocations at once")
    }
    let answer = slots(5..<6, group: 7, isLastResort: true)
    plan.allocated(answer, now: start)
    #expect(
      try plan.nextStep(now: start, canWrite: { _ in false })
        == .write(position: 0, slot: answer[0], former: nil))
  }

  @Test func `an upload without progress fails when patience ends, and says what kept it`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<40))
    var now = start
    var attempts = 0
    #expect(throws: DFSError.self) {
      while true {
        let step = try plan.nextStep(now: now) { _ in true }
        switch step {
        case .write(let position, let slot, _):
          attempts += 1
          plan.writeFailed(position, group: slot.group, former: nil, DFSError(.unavailable, "no"), now: now)
        case .wait(let until): now = until
        default: break
        }
      }
    }
    #expect(plan.failure?.code == .unavailable)
    #expect(attempts > 5 && start.duration(to: now) <= .seconds(33))
  }

  @Test func `when nobody else is left to write to, an upload fails sooner`() throws {
    for (prospect, limit) in [(UploadPlan.Prospect.none, Duration.seconds(10)), (.others, .seconds(30))] {
      var plan = plan(chunks: 1, slots: slots(0..<40))
      var now = start
      while plan.failure == nil {
        switch try? plan.nextStep(now: now, canWrite: { _ in true }) {
        case .write(let position, let slot, _):
          plan.writeFailed(
            position, group: slot.group, former: nil, DFSError(.unavailable, "no"), prospect: prospect,
            now: now)
        case .wait(let until): now = until
        default: break
        }
      }
      #expect(start.duration(to: now) >= limit && start.duration(to: now) < limit + .seconds(3))
      #expect(plan.failure?.message.contains("nothing is visible") == true)
    }
  }

  @Test func `a coordinator without nodes for a chunk is asked again for a while, at intervals`() throws {
    var plan = plan(chunks: 1, slots: [])
    var now = start
    var asked = 0
    while plan.failure == nil {
      switch try? plan.nextStep(now: now, canWrite: { _ in true }) {
      case .allocate:
        asked += 1
        plan.allocationFailed(DFSError.tooFewNodes("no group has enough nodes"), now: now)
      case .wait(let until): now = until
      default: break
      }
    }
    #expect((15...25).contains(asked) && start.duration(to: now) == .seconds(10))
    #expect(
      plan.failure?.isTooFewNodes == true && plan.failure?.message.contains("nothing is visible") == true)
  }

  @Test func `the time of a coordinator that is away is not held against the datanodes`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1))
    let first = writes(try steps(&plan))[0]
    plan.writeFailed(0, group: first.slot.group, former: nil, DFSError(.unavailable, "gone"), now: start)
    guard case .allocate = try plan.nextStep(now: start, canWrite: { _ in true }) else {
      Issue.record("no allocation")
      return
    }
    let late = start + .seconds(25)
    plan.allocated(slots(1..<2, isLastResort: true), now: late)
    let second = writes(try steps(&plan, at: late))[0]
    plan.writeFailed(
      0, group: second.slot.group, former: nil, DFSError(.unavailable, "gone"), prospect: .none, now: late)
    #expect(plan.failure == nil)
  }

  @Test func `what a node calls wrong is not repeated for long`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<40))
    var now = start
    var attempts = 0
    while plan.failure == nil {
      switch try plan.nextStep(now: now, canWrite: { _ in true }) {
      case .write(let position, let slot, _):
        attempts += 1
        plan.writeFailed(
          position, group: slot.group, former: nil, DFSError(.invalidArgument, "bad"), now: now)
      case .wait(let until): now = until
      default: break
      }
    }
    #expect(attempts == 3 && plan.failure?.code == .invalidArgument)
  }

  @Test func `rejected chunks are written again and nothing is committed meanwhile`() throws {
    var plan = plan(chunks: 2, slots: slots(0..<4))
    for (position, slot) in writes(try steps(&plan)) { plan.wrote(position, chunk(slot), now: start) }
    guard case .commit = try steps(&plan)[0] else { return #expect(Bool(false), "no commit") }
    plan.rejected([1], now: start)
    let again = try steps(&plan)
    guard case .write(let position, let slot, let former?) = again[0] else {
      return #expect(Bool(false), "not written again")
    }
    #expect(position == 1 && former.index == 1 && slot.index >= 2)
    guard case .wait = again[1] else { return #expect(Bool(false), "committed too early") }
    plan.wrote(1, chunk(slot), now: start)
    guard case .commit(let commit) = try steps(&plan)[0] else {
      return #expect(Bool(false), "no second commit")
    }
    #expect(commit.lastSegment.map(\.index) == [0, slot.index])
  }

  @Test func `a commit that finds too few sealed copies is sent again, and the lease renewed`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1), lease: .seconds(30))
    plan.wrote(0, chunk(writes(try steps(&plan))[0].slot), now: start)
    guard case .commit(let first) = try steps(&plan)[0] else { return #expect(Bool(false), "no commit") }
    var now = start
    var (commits, renewals) = (0, 0)
    while now < start + .seconds(20) {
      plan.commitDelayed(DFSError.tooFewCopies("one copy"), now: now)
      var isCommitting = false
      while !isCommitting {
        switch try plan.nextStep(now: now, canWrite: { _ in true }) {
        case .commit(let commit):
          #expect(commit == first)
          (isCommitting, commits) = (true, commits + 1)
        case .renew:
          renewals += 1
          plan.renewed(lease: .seconds(30), now: now)
        case .wait(let until):
          #expect(until > now && until <= now + .milliseconds(500))
          now = until
        default: Issue.record("nothing else is due")
        }
      }
    }
    #expect(commits == 40 && renewals == 2)
    plan.committed()
    #expect(try steps(&plan, at: now) == [.done])
  }

  @Test func `an upload whose sealed chunks get no copies back ends with its patience`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1))
    plan.wrote(0, chunk(writes(try steps(&plan))[0].slot), now: start)
    var now = start
    while plan.failure == nil {
      switch try? plan.nextStep(now: now, canWrite: { _ in true }) {
      case .commit: plan.commitDelayed(DFSError.tooFewCopies("one copy"), now: now)
      case .wait(let until): now = until
      default: break
      }
    }
    #expect(start.duration(to: now) == .seconds(30))
    #expect(plan.failure?.isTooFewCopies == true)
    #expect(plan.failure?.description.contains("put the file again: one copy") == true)
  }

  @Test func `a stream is filled ahead of its writes and ends where its source ends`() throws {
    var plan = plan(chunks: nil, slots: slots(0..<8))
    var filled = 0
    var written = 0
    var commit: UploadPlan.Commit?
    while commit == nil {
      for step in try steps(&plan) {
        switch step {
        case .fill(let position):
          #expect(position == filled)
          #expect(filled - written <= 3, "the source runs away from the writes")
          if position == 5 { plan.sourceEnded() } else { plan.filled() }
          if position < 5 { filled += 1 }
        case .write(let position, let slot, _):
          #expect(position < filled)
          plan.wrote(position, chunk(slot), now: start)
          written += 1
        case .seal(let segment, _): plan.sealed(segment)
        case .commit(let final): commit = final
        default: break
        }
      }
    }
    #expect(commit?.chunkCount == 5 && commit?.lastSegment.count == 1)
  }

  @Test func `the lease is renewed after a third of it, once at a time`() throws {
    var plan = plan(chunks: 1, slots: slots(0..<1), lease: .seconds(60))
    let later = start + .seconds(21)
    #expect(try plan.nextStep(now: later, canWrite: { _ in true }) == .renew)
    guard case .write = try plan.nextStep(now: later, canWrite: { _ in true }) else {
      return #expect(Bool(false), "renewing holds up writing")
    }
    plan.renewed(lease: .seconds(60), now: later)
    guard case .wait(let until) = try plan.nextStep(now: later, canWrite: { _ in true }) else {
      return #expect(Bool(false))
    }
    #expect(until == later + .seconds(20))
  }

  @Test func `positions far ahead of the sealed ones are not started`() throws {
    var plan = plan(chunks: 100, slots: slots(0..<100), limits: limits(inFlight: 50, segment: 4, ahead: 8))
    #expect(writes(try steps(&plan)).count == 8)
  }

  @Test func `nothing wakes an upload for what only a report can settle`() throws {
    var plan = plan(chunks: 4, slots: slots(0..<8), limits: limits(inFlight: 2))
    _ = try steps(&plan, at: start)
    // Both places in flight are taken when the failed chunk is due, and the renewal is on its way.
    plan.writeFailed(0, group: GroupID(rawValue: 0), former: nil, DFSError(.unavailable, "no"), now: start)
    let late = start + .seconds(3600)
    let last = try steps(&plan, at: late).last
    guard case .wait(let until) = last else {
      Issue.record("the plan does not wait: \(String(describing: last))")
      return
    }
    #expect(until > late)
  }

  @Test func `every order of successes and failures ends in a complete commit`() throws {
    var random = SeededGenerator()
    for _ in 0..<200 {
      let count = Int.random(in: 1...20, using: &random)
      var plan = plan(chunks: count, slots: slots(0..<UInt32(count)), limits: limits(inFlight: 3))
      var nextIndex = UInt32(count)
      var running: [(Int, UploadPlan.Slot)] = []
      var used: Set<UInt32> = []
      var now = start
      var commit: UploadPlan.Commit?
      while commit == nil {
        let steps = try steps(&plan, at: now)
        for step in steps {
          switch step {
          case .write(let position, let slot, _):
            #expect(used.insert(slot.index).inserted, "an index was used twice, seed \(random.seed)")
            running.append((position, slot))
          case .allocate(let wanted):
            plan.allocated(slots(nextIndex..<nextIndex + UInt32(wanted)), now: now)
            nextIndex += UInt32(wanted)
          case .seal(let segment, let chunks):
            if Bool.random(using: &random) {
              plan.sealed(segment)
            } else {
              plan.rejected([chunks[0].index], now: now)
            }
          case .commit(let final): commit = final
          case .renew: plan.renewed(lease: .seconds(600), now: now)
          case .wait(let until) where running.isEmpty && steps.count == 1: now = max(now, until)
          default: break
          }
        }
        guard !running.isEmpty else { continue }
        let (position, slot) = running.remove(at: Int.random(in: 0..<running.count, using: &random))
        if Int.random(in: 0..<4, using: &random) == 0 {
          plan.writeFailed(position, group: slot.group, former: nil, DFSError(.unavailable, "no"), now: now)
        } else {
          plan.wrote(position, chunk(slot), now: now)
        }
      }
      #expect(commit?.chunkCount == count && commit?.length == Int64(count) * 65_536, "seed \(random.seed)")
    }
  }
}
