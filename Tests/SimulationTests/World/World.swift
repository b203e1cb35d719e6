import DFSCore
import DFSKeyValue
import DFSMetadata
import TestSupport

/// One simulated cluster: machines, disks, coordinators, clients and the network between them, on one thread,
/// with one clock and one source of chance. The same seed and scenario give the same history.
///
/// What decides is the product's own: the namespace with its rounds, membership, planner, allocator, receipts,
/// repair, sweep and reaping, and the datanode's fence, group epochs and lease. What waits in the product
/// (calls, jobs, streams) is written here again as events, as thinly as can be.
final class World {
  let seed: UInt64
  let scenario: Scenario
  let clock = ManualClock()
  var random: SeededGenerator
  var network = Network()
  var machines: [Machine] = []
  /// Every coordinator process that ever was, the newest last.
  var coordinators: [CoordinatorProcess] = []
  var truth = MetadataTruth()
  var clients: [Client] = []
  var trace: Trace
  var tally = Tally()
  /// Faults go on until this is false: then everything is mended and the cluster must come to rest.
  var isStormy = true
  /// Slots of full groups may move: whoever wants to see the cluster at rest ends that.
  var isLevelling = true
  private(set) var now = Moment.start
  private(set) var violations: [Violation] = []
  private var invariants: [any Invariant]
  private var queue = EventQueue()
  private let origin = ContinuousClock.now
  private(set) var events = 0
  /// Where metadata becomes durable for several coordinators; none where one stands alone.
  var ledgerService: MemoryLedgerService?
  /// An older copy of the metadata, and whether the next coordinator is to begin with it.
  var backup: MemoryStore?
  var isRestoring = false
  var sparse = SparseTimes()

  init(seed: UInt64, scenario: Scenario, invariants: [any Invariant] = Invariants.all()) {
    self.seed = seed
    self.scenario = scenario
    self.invariants = invariants
    random = SeededGenerator(seed: seed)
    trace = Trace(keeping: 400)
    network.lost = scenario.faults.lostMessages
    network.doubled = scenario.faults.doubledRequests
  }

  /// A monotonic clock of the world as the product's values take it.
  var instant: ContinuousClock.Instant { origin.advanced(by: Span(milliseconds: now.milliseconds).duration) }

  // MARK: Time

  func schedule(at time: Moment, _ run: @escaping () -> Void) { queue.add(at: max(now, time), run) }
  func schedule(after span: Span, _ run: @escaping () -> Void) { queue.add(at: now + span, run) }

  /// Runs what happens until `end`, or until an invariant is broken.
  func run(until end: Moment) {
    while violations.isEmpty, let next = queue.nextTime, next <= end, let event = queue.take() {
      clock.advance(by: (event.at - now).duration)
      now = event.at
      events += 1
      event.run()
    }
    if violations.isEmpty, now < end {
      clock.advance(by: (end - now).duration)
      now = end
    }
  }

  /// The world ends: what still waits is dropped.
  func end() {
    queue.removeAll()
    for machine in machines { machine.process = nil }
    for coordinator in coordinators { coordinator.isRunning = false }
  }

  // MARK: Chance

  func chance(_ perMille: Int) -> Bool { Int.random(in: 0..<1000, using: &random) < perMille }
  func pick<Element>(_ elements: some Collection<Element>) -> Element? {
    elements.isEmpty ? nil : elements[elements.index(elements.startIndex, offsetBy: below(elements.count))]
  }
  func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
  func number() -> UInt64 { random.next() | 1 }
  /// Evenly spread between the two.
  func span(_ shortest: Span, _ longest: Span) -> Span {
    Span(milliseconds: Int64.random(in: shortest.milliseconds...longest.milliseconds, using: &random))
  }
  /// Between a tenth and nineteen tenths of `mean`.
  func around(_ mean: Span) -> Span { span(mean / 10, Span(milliseconds: mean.milliseconds * 19 / 10)) }

  // MARK: What is seen

  func note(_ line: @autoclosure () -> String) { trace.note("\(now)  \(line())") }

  /// Shows an event to every checker.
  func tell(_ event: WorldEvent) {
    for index in invariants.indices {
      let found = invariants[index].observe(event, in: self)
      if let found { report(Violation(invariant: invariants[index].name, at: now, what: found)) }
    }
  }

  /// Asks every checker whether the world at rest is as it should be.
  func checkAtRest() {
    for index in invariants.indices {
      guard let found = invariants[index].checkAtRest(in: self) else { continue }
      report(Violation(invariant: invariants[index].name, at: now, what: found))
    }
  }

  private func report(_ violation: Violation) {
    // The first is what matters; others follow from it.
    guard violations.isEmpty else { return }
    note("VIOLATION of \(violation.invariant): \(violation.what)")
    violations.append(violation)
  }

  // MARK: Who is there

  /// The coordinator that leads, as clients and nodes find it; the newest that runs.
  var leader: CoordinatorProcess? { coordinators.last { $0.isRunning } }

  /// The ledger of a coordinator that stands alone.
  func standaloneLedger() -> any Ledger {
    scenario.planted.isLedgerSynced ? StandaloneLedger() : ForgetfulLedger()
  }

  func pauseEnd(of host: Host) -> Moment? {
    switch host {
    case .machine(let number): machines[number].pausedUntil
    case .coordinator(let number): coordinators[number].pausedUntil
    case .client: nil
    }
  }

  /// Every disk that is in a machine or was kept.
  var disks: [Disk] { machines.compactMap(\.disk) }
}

/// A broken invariant.
struct Violation: CustomStringConvertible {
  var invariant: String
  var at: Moment
  var what: String
  var description: String { "\(invariant), at \(at): \(what)" }
}

/// How much happened, to see that a scenario does what it is for.
struct Tally {
  var counts: [String: Int] = [:]
  mutating func add(_ what: String, _ count: Int = 1) { counts[what, default: 0] += count }
  subscript(what: String) -> Int { counts[what] ?? 0 }
}

extension Tally: CustomStringConvertible {
  var description: String {
    counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }
}
