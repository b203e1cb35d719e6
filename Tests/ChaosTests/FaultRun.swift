import DFSClient
import DFSCore
import Foundation
import TestSupport

/// One fault run: clients work, the attacker attacks, then everything is checked.
struct FaultRun {
  let seed: UInt64
  let duration: Duration
  let history = History()

  /// Whether the cluster makes new copies of what was lost.
  private static let heals = true

  /// What a run found. Empty is good.
  struct Report: Sendable {
    var problems: [String] = []
    var counts = History.Counts()
    var attacks: [String] = []
  }

  func execute() async throws -> Report {
    let site = try await ChaosSite()
    var report = Report()
    do {
      try await site.cluster.start()
      try await attack(site, &report)
      if history.violations.isEmpty { try await check(site, &report) }
      let statuses = try await site.cluster.stop()
      if statuses.contains(where: { $0 != 0 }) { report.problems.append("processes ended with \(statuses)") }
    } catch {
      report.problems.append("the run broke off: \(error)")
    }
    report.problems += history.violations.map(\.description)
    report.counts = history.counts
    if !report.problems.isEmpty {
      let place = FileManager.default.temporaryDirectory.appendingPathComponent("dfs-chaos-\(seed)").path
      try site.cluster.keepLogs(in: place)
      report.problems.append("logs: \(place)")
    }
    await site.close()
    return report
  }

  private func attack(_ site: ChaosSite, _ report: inout Report) async throws {
    let end = ContinuousClock.now.advanced(by: duration)
    var libraries: [DFSClient] = []
    // The less patient a client is, the more outcomes it leaves unknown.
    for patience in [1, 3, 8] { libraries.append(try await site.connect(patience: .seconds(patience))) }
    var accesses: [any FileAccess] = libraries.map { LibraryAccess(client: $0) }
    accesses.append(try CommandAccess(site.cluster, patience: .seconds(8)))
    let plan = AttackPlan(
      datanodes: ChaosSite.datanodes, isPrivileged: isRoot, heals: Self.heals, seed: seed)
    let attacker = Attacker(site, history, plan, seed: seed)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, access) in accesses.enumerated() {
        group.addTask {
          var client = ChaosClient(number: number, access: access, history: history, seed: seed)
          try await client.run(until: end)
        }
      }
      group.addTask { try await attacker.run(until: end) }
      try await group.waitForAll()
    }
    report.attacks = await attacker.log
    for library in libraries { await library.close() }
  }

  private func check(_ site: ChaosSite, _ report: inout Report) async throws {
    try await site.cluster.waitForNodes(ChaosSite.datanodes, limit: .seconds(60))
    if Self.heals, let amiss = try await site.waitUntilHealed(within: .seconds(180)) {
      report.problems.append("not healed: \(amiss)")
    }
    try await readEverything(site)
    guard Self.heals, report.problems.isEmpty, history.violations.isEmpty else { return }
    try await compareInventory(site, &report)
  }

  /// Every path, byte for byte. Nothing hinders the cluster any more, so an error is a violation.
  private func readEverything(_ site: ChaosSite) async throws {
    var found: [String: Register.Value] = [:]
    for path in history.paths {
      let operation = history.beginRead(path)
      do {
        let bytes = try await site.observer.read(try RemotePath(path))
        history.endRead(operation, found: bytes)
        found[path] = Content(recognizing: bytes).map { .content($0) }
      } catch let error as DFSError where error.code == .notFound {
        history.endRead(operation, found: nil)
        found[path] = .absent
      } catch {
        history.endReadWithoutAnswer(operation)
        history.note(path, "can not be read at the end: \(error)")
      }
    }
    history.judgeDoubts(found)
  }

  /// Waits for the reaper, then compares what the disks hold with what the files need.
  private func compareInventory(_ site: ChaosSite, _ report: inout Report) async throws {
    try await site.observer.emptyTrash()
    let end = ContinuousClock.now.advanced(by: .seconds(90))
    var inventory = try await Inventory(of: site)
    while !inventory.orphans.isEmpty || !inventory.missing.isEmpty, ContinuousClock.now < end {
      // What comes once a day of itself.
      for job in ["sweep_strays", "sweep_groups"] {
        try await site.observer.controlJob(job, .run, at: .coordinator)
      }
      try await Task.sleep(for: .seconds(3))
      inventory = try await Inventory(of: site)
    }
    for (what, copies) in [("missing", inventory.missing), ("orphan", inventory.orphans)]
    where !copies.isEmpty {
      let examples = copies.prefix(5).map(\.description).joined(separator: "; ")
      report.problems.append("\(copies.count) \(what): \(examples)")
    }
  }
}
