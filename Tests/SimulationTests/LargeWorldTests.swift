import DFSCore
import Foundation
import Testing

/// A thousand nodes, months of failures as they happen in real clusters.
struct LargeWorldTests {
  /// `DFS_SIMULATION_DAYS` for longer runs.
  private static let days = ProcessInfo.processInfo.environment["DFS_SIMULATION_DAYS"].flatMap(Int.init) ?? 90

  @Test func `a thousand nodes lose nothing in three months`() {
    for seed in Seeds.chosen(1, isLong: true) {
      let simulation = Simulation(seed: seed, .large(days: Self.days))
      let violations = simulation.run()
      print("seed \(seed): \(simulation.world.events) events, \(simulation.world.tally)")
      #expect(violations.isEmpty, report(violations, simulation.world, scenario: "large"))
      #expect(simulation.world.tally["replicas copied"] > 5)
    }
  }
}

extension Scenario {
  static func large(days: Int) -> Scenario {
    var scenario = Scenario()
    scenario.pace = .sparse
    scenario.machines = 1000
    scenario.zones = 20
    scenario.slotsPerNode = 3
    scenario.fewestGroups = 1000
    scenario.names = 400
    scenario.storm = .days(days)
    scenario.rest = .days(2)
    scenario.sweepPeriod = .days(10)
    scenario.trash = .days(1)
    scenario.workload = WorkloadRates(clients: 4, every: .hours(2), mostChunks: 5, slow: 50, abandoned: 30)
    scenario.faults.every = .hours(5)
    scenario.faults.kinds = [
      (.nodeRestart, 60), (.nodeStop, 60), (.nodePause, 20), (.flapping, 4), (.clockJump, 4), (.diskLost, 12),
      (.chunkRot, 60), (.chunkMissing, 6), (.smallStoreLost, 4), (.partition, 3), (.zonePowerCut, 2),
      (.coordinatorRestart, 8), (.coordinatorPause, 4), (.clonedDisk, 1), (.foreignDisk, 1), (.drain, 6),
      (.maintenance, 12),
    ]
    return scenario
  }
}
