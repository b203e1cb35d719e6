import Foundation
import TestSupport

/// Makes the faults of a plan come true on a cluster, one or two at a time, and takes them back.
///
/// Never are more copies of a chunk hurt than may be: a fault that hurts data waits until every chunk has all
/// of its copies, every node is there, and a scrub has looked at the node that was hurt before.
actor Attacker {
  private let site: ChaosSite
  private let history: History
  private var plan: AttackPlan
  private var random: SeededGenerator
  private(set) var log: [String] = []
  private let started = ContinuousClock.now

  init(_ site: ChaosSite, _ history: History, _ plan: AttackPlan, seed: UInt64) {
    self.site = site
    self.history = history
    self.plan = plan
    random = SeededGenerator(seed: seed ^ 0xA77A_C4E4)
  }

  private var cluster: ProcessCluster { site.cluster }

  func run(until end: ContinuousClock.Instant) async throws {
    while ContinuousClock.now < end, history.violations.isEmpty, !Task.isCancelled {
      let faults = plan.next()
      if faults.contains(where: \.hurtsData), plan.heals {
        let wait = min(.seconds(45), max(.zero, ContinuousClock.now.duration(to: end)))
        guard try await site.waitUntilHealed(within: wait) == nil else {
          say("left out, for the cluster has not healed yet: \(faults[0])")
          continue
        }
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for fault in faults { group.addTask { try await self.perform(fault) } }
        try await group.waitForAll()
      }
      try await Task.sleep(for: plan.gap())
    }
  }

  private func say(_ text: String) {
    let seconds = started.duration(to: .now).components
    let line = "\(seconds.seconds).\(seconds.attoseconds / 100_000_000_000_000_000) s: \(text)"
    log.append(line)
    print("chaos: \(line)")
  }

  private func perform(_ fault: Fault) async throws {
    say("\(fault)")
    switch fault {
    case .datanode(let number, let absence, let time):
      try await expectRunning(number)
      try await away(absence, time, number)
    case .coordinator(let absence, let time): try await coordinatorAway(absence, time)
    case .everything:
      try await cluster.killAll()
      try await cluster.startCoordinator()
      for number in cluster.datanodePorts.indices { try await cluster.startDatanode(number) }
    case .cut(let number, let others, let time):
      try await cluster.cut(number, from: others)
      try await Task.sleep(for: time)
      try await cluster.cutOff(user: nil)
    case .full(let number, let time):
      try site.disks[number]?.fill()
      try await Task.sleep(for: time)
      site.disks[number]?.empty()
      try await expectRunning(number)
    case .replaced(let number): try await replace(number)
    case .damage(let number, let damage, let whileStopped):
      try await hurt(number, damage, whileStopped: whileStopped)
    }
  }

  private func away(_ absence: Fault.Absence, _ time: Duration, _ number: Int) async throws {
    switch absence {
    case .killed: try await cluster.killDatanode(number)
    case .stopped:
      let status = try await cluster.stopDatanode(number)
      if status != 0 { history.note("datanode \(number)", "ended with \(status ?? -1) when asked to stop") }
    case .paused:
      await cluster.signalDatanode(number, SIGSTOP)
      try await Task.sleep(for: time)
      return await cluster.signalDatanode(number, SIGCONT)
    }
    try await Task.sleep(for: time)
    try await cluster.startDatanode(number)
  }

  private func coordinatorAway(_ absence: Fault.Absence, _ time: Duration) async throws {
    if await !cluster.isCoordinatorRunning { history.note("coordinator", "ended by itself") }
    switch absence {
    case .killed: try await cluster.killCoordinator()
    case .stopped:
      let status = try await cluster.stopCoordinator()
      if status != 0 { history.note("coordinator", "ended with \(status ?? -1) when asked to stop") }
    case .paused:
      await cluster.signalCoordinator(SIGSTOP)
      try await Task.sleep(for: time)
      return await cluster.signalCoordinator(SIGCONT)
    }
    try await Task.sleep(for: time)
    try await cluster.startCoordinator()
  }

  private func hurt(_ number: Int, _ damage: Fault.Damage, whileStopped: Bool) async throws {
    try await expectRunning(number)
    let identity = damage == .emptied ? try await site.identity(ofDatanode: number) : nil
    if whileStopped { try await cluster.killDatanode(number) }
    var disk = DiskDamage(directory: cluster.dataDirectory(ofDatanode: number), random: random)
    let count = try disk.apply(damage)
    random = disk.random
    say("\(count) files hurt on datanode \(number)")
    if whileStopped { try await cluster.startDatanode(number) }
    site.wasHurt(number, formerly: identity)
  }

  private func replace(_ number: Int) async throws {
    guard let node = try await site.identity(ofDatanode: number) else { return }
    guard try await site.drainAndRemove(node, within: .seconds(45)) else {
      return say("node \(node) is not empty yet: it stays")
    }
    say("node \(node) is removed")
    _ = try await cluster.stopDatanode(number)
    var disk = DiskDamage(directory: cluster.dataDirectory(ofDatanode: number), random: random)
    _ = try disk.apply(.emptied)
    try await cluster.startDatanode(number)
  }

  private func expectRunning(_ number: Int) async throws {
    guard await !cluster.isRunning(number) else { return }
    history.note(
      "datanode \(number)",
      "ended by itself, with \(try await cluster.exitOfDatanode(number, within: .seconds(5)) ?? -1)")
    try await cluster.startDatanode(number)
  }
}
