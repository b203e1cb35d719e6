import DFSCore
import DFSKeyValue
import DFSMetadata
import Foundation
import Testing

/// Runs one world from its beginning to its rest, and says how a failing one is run again.
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
    disturbed()
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

  /// `DFS_SIMULATION_SEED` alone; else `DFS_SIMULATION_SEEDS` new ones (from `DFS_SIMULATION_FIRST` on, where
  /// that is given; one only for what takes long), or the first `count`.
  static func chosen(_ count: UInt64, isLong: Bool = false) -> [UInt64] {
    if let seed = environment["DFS_SIMULATION_SEED"].flatMap(UInt64.init) { return [seed] }
    guard let wanted = environment["DFS_SIMULATION_SEEDS"].flatMap(UInt64.init) else {
      return Array(1...count)
    }
    let first =
      environment["DFS_SIMULATION_FIRST"].flatMap(UInt64.init) ?? UInt64.random(in: 1...UInt64.max / 2)
    return Array(first..<first + (isLong ? 1 : wanted))
  }
}
