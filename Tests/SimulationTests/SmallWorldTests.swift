import DFSCore
import Testing

/// A handful of nodes, hours of a storm: small and nasty.
struct SmallWorldTests {
  @Test func `a small cluster in a storm loses nothing and heals`() {
    var failures = 0
    var tally = Tally()
    for seed in Seeds.chosen(12) where failures < 3 {
      let simulation = Simulation(seed: seed, .small(seed))
      let violations = simulation.run()
      print("seed \(seed): \(simulation.world.events) events, \(violations)")
      #expect(violations.isEmpty, report(violations, simulation.world, scenario: "small"))
      failures += violations.isEmpty ? 0 : 1
      for (what, count) in simulation.world.tally.counts { tally.add(what, count) }
    }
    guard Seeds.areUsual else { return }
    for what in [
      "deletions purged early", "real stores opened", "files flipped", "files truncated",
      "power cuts in a store", "nodes removed", "restores", "slots moved",
    ] { #expect(tally[what] > 0, "\(what): none in all worlds") }
  }

  @Test func `files of several segments are written, read and healed in a storm`() {
    var scenario = Scenario()
    scenario.storm = .minutes(10)
    scenario.rest = .minutes(12)
    scenario.names = 3
    scenario.workload = WorkloadRates(clients: 2, every: .minutes(1), slow: 0, abandoned: 10, long: 700)
    scenario.faults.every = .seconds(90)
    scenario.faults.kinds = [
      (.nodeRestart, 4), (.nodeStop, 2), (.chunkRot, 4), (.chunkMissing, 2), (.coordinatorRestart, 1),
      (.drain, 1),
    ]
    let simulation = Simulation(seed: 3, scenario)
    let violations = simulation.run()
    #expect(violations.isEmpty, report(violations, simulation.world, scenario: "long files"))
    let tally = simulation.world.tally
    #expect(tally["segments filled"] > 2 && tally["manifest pages"] > 0, "\(tally)")
  }

  @Test func `a seed gives the same history each time`() {
    let first = Simulation(seed: 7, .small(7))
    let second = Simulation(seed: 7, .small(7))
    first.run()
    second.run()
    #expect(first.world.trace.fingerprint == second.world.trace.fingerprint)
    #expect(first.world.events == second.world.events && first.world.events > 1000)
  }
}

extension Scenario {
  /// Nodes, zones, replicas and faults by the seed.
  static func small(_ seed: UInt64) -> Scenario {
    var scenario = Scenario()
    scenario.machines = 4 + Int(seed % 9)
    scenario.zones = [0, 3, 4, 2][Int(seed / 9 % 4)]
    scenario.faults.lostMessages = [0, 2, 20][Int(seed / 36 % 3)]
    scenario.faults.doubledRequests = 5
    scenario.faults.lostSettlements = 2000
    scenario.faults.every = .seconds(40)
    scenario.faults.kinds = [
      (.nodeRestart, 10), (.nodeStop, 8), (.nodePause, 8), (.flapping, 3), (.clockJump, 3), (.diskLost, 1),
      (.diskWiped, 1), (.chunkRot, 8), (.chunkMissing, 4), (.smallStoreLost, 2), (.partition, 6),
      (.badNetwork, 3), (.zonePowerCut, 1), (.coordinatorRestart, 5), (.coordinatorPause, 3),
      (.foreignDisk, 1), (.clonedDisk, 1), (.drain, 4), (.maintenance, 3),
    ]
    // Three copies in every other world; and in some, directories that want another number of them.
    scenario.replicas = [3, 2, 3, 1, 3, 5, 3, 4][Int(seed % 8)]
    if seed % 3 == 1 { scenario.ownReplicas = ["/b": UInt8(1 + seed / 3 % 5), "/a/deep": 2] }
    // Not over real stores: that many bytes take their time.
    if seed % 5 == 2, seed % 4 != 2 { scenario.workload.long = 20 }
    if seed % 6 == 4 { (scenario.capacity, scenario.trash) = (.mib(12), .minutes(25)) }
    if seed % 4 == 2 {
      scenario.realStores = 500
      scenario.faults.kinds.append((.chunkRot, 16))
    }
    scenario.hasStandbys = seed % 4 == 3
    scenario.faults.kinds.append(scenario.hasStandbys ? (.secondLeader, 4) : (.metadataLost, 1))
    return scenario
  }
}
