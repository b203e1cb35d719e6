import DFSCore
import DFSKeyValue
import DFSMetadata
import Foundation
import Testing

/// Runs one world from its beginning to its rest, and says how a failing one is run again.
///
/// What decides in it is the product's own: namespace, rounds and ledgers, membership with its brake and
/// probations, planner, allocator, heirs, leveller, receipts, upload leases, reconciliation and the repair queue,
/// sweep, strays, reaping, pins and the pressure on the trash; at the datanode the fence, group epochs and the lease,
/// and in some worlds the whole `LocalChunkStore` over a file system that loses what was not synced.
/// What waits in the product (streams, calls, jobs) is written here again as events, as thinly as can be.
///
/// Two kinds of worlds: small ones (`SmallWorldTests`), where each heartbeat is an event: a storm of half an
/// hour with faults of every kind, 1 to 5 replicas, files of several segments, standbys, restored metadata; and
/// the large one (`LargeWorldTests`), a thousand nodes for three months, where heartbeats are made up for just
/// before somebody could miss them (`SparsePace`). `Faults` has what goes wrong, `Invariants` what must hold, one
/// a file; `CheckerTests` plants a defect for each of them.
///
/// Not in it: bytes on the wire and connections, RocksDB (a memory store stands for it), reservations of space.
///
/// Longer, by the environment:
///
///     DFS_SIMULATION_SEED=7      this seed alone, with the same history each time: what a failure prints
///     DFS_SIMULATION_SEEDS=200   so many small worlds, from a random seed on
///     DFS_SIMULATION_FIRST=1000  or from this one on
///     DFS_SIMULATION_LARGE=5     so many large worlds
///     DFS_SIMULATION_DAYS=365    days of the large world
struct Simulation {
  let world: World

  init(seed: UInt64, _ scenario: Scenario, invariants: [any Invariant] = Invariants.all()) {
    world = World(seed: seed, scenario: scenario, invariants: invariants)
  }

  /// The whole history. Gives what was broken.
  @discardableResult
  func run() -> [Violation] {
    form()
    world.beginStorm()
    world.beginBackups()
    world.run(until: world.now + world.scenario.storm)
    if world.violations.isEmpty {
      world.calm()
      for _ in 0..<4 {
        world.run(until: world.now + world.scenario.rest / 4)
        world.scrubAll()
        world.leader?.hurrySweeps()
      }
      world.endLevelling()
      world.run(until: world.now + world.scenario.rest / 2)
    }
    if world.violations.isEmpty, world.scenario.heals { world.checkAtRest() }
    world.end()
    return world.violations
  }

  /// Machines, the first coordinator, and clients.
  private func form() {
    let scenario = world.scenario
    if scenario.hasStandbys {
      let service = MemoryLedgerService(faults: .many, seed: world.seed)
      world.ledgerService = service
      world.startCoordinator(on: MemoryStore(), MemoryLedger(service))
    } else {
      world.startCoordinator(on: MemoryStore(), world.standaloneLedger())
    }
    for number in 0..<scenario.machines {
      let machine = Machine(number: number, zone: scenario.zoneName(number))
      machine.disk = world.newDisk()
      world.machines.append(machine)
      world.start(machine)
    }
    world.run(until: world.now + .seconds(10))
    world.clients = (0..<scenario.workload.clients).map { Client(number: $0, in: world) }
    for client in world.clients {
      client.makeDirectories()
      client.begin()
    }
    world.run(until: world.now + .seconds(1))
  }
}

extension World {
  /// Ends all faults and mends what can be mended.
  func calm() {
    note("calm")
    isStormy = false
    network = Network()
    for machine in machines {
      machine.pausedUntil = nil
      if machine.isImpostor { endImpostor(machine) }
    }
    for machine in machines where !machine.isImpostor {
      if machine.disk == nil { replaceDisk(machine) }
      if machine.process == nil { start(machine) }
      machine.isBusy = false
    }
    leader?.pausedUntil = nil
    allHeardAgain()
  }
}

extension World {
  /// Every node reads everything it has.
  func scrubAll() { for machine in machines { machine.process?.scrub(.max) } }
}

/// The command that runs a seed again, and the end of its history.
func report(_ violations: [Violation], _ world: World, scenario: String) -> Comment {
  let lines = world.trace.last.suffix(60).joined(separator: "\n  ")
  return """
    \(scenario), seed \(world.seed): \(violations.map(\.description).joined(separator: "; "))
    run it again: DFS_SIMULATION_SEED=\(world.seed) Scripts/test --filter SimulationTests
    happened: \(world.tally.description)
      \(lines)
    """
}

/// Seeds to run: what the environment asks for, or the given ones.
enum Seeds {
  private static let environment = ProcessInfo.processInfo.environment

  /// Nobody asked for others.
  static var areUsual: Bool {
    ["DFS_SIMULATION_SEED", "DFS_SIMULATION_SEEDS"].allSatisfy { environment[$0] == nil }
  }

  /// `DFS_SIMULATION_SEED` alone; else `DFS_SIMULATION_SEEDS` new ones (from `DFS_SIMULATION_FIRST` on, where
  /// that is given; `DFS_SIMULATION_LARGE`, or one, of what takes long), or the first `count`.
  static func chosen(_ count: UInt64, isLong: Bool = false) -> [UInt64] {
    if let seed = environment["DFS_SIMULATION_SEED"].flatMap(UInt64.init) { return [seed] }
    guard let wanted = environment["DFS_SIMULATION_SEEDS"].flatMap(UInt64.init) else {
      return Array(1...count)
    }
    let first =
      environment["DFS_SIMULATION_FIRST"].flatMap(UInt64.init) ?? UInt64.random(in: 1...UInt64.max / 2)
    let large = environment["DFS_SIMULATION_LARGE"].flatMap(UInt64.init) ?? 1
    return Array(first..<first + (isLong ? large : wanted))
  }
}
