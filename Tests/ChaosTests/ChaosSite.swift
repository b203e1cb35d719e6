import DFSClient
import DFSCore
import Foundation
import Synchronization
import TestSupport

/// The cluster under attack: datanodes with small disks and users of their own, in a network of their own,
/// with short times, so that minutes show what takes days elsewhere.
final class ChaosSite: Sendable {
  static let datanodes = 5
  private static let firstUser = 54_321
  private static let diskSize = 448
  static let trashRetention = Duration.seconds(8)

  let cluster: ProcessCluster
  let disks: [Int: SmallDisk]
  /// Sees how the cluster is; takes part in nothing.
  let observer: DFSClient
  let probe: NodeProbe

  private struct Wounds: Sendable {
    /// Datanodes that were hurt and that nobody has looked at since.
    var unexamined: Set<Int> = []
    /// What emptied datanodes were called before.
    var former: Set<NodeID> = []
  }

  private let wounds = Mutex(Wounds())

  init() async throws {
    var settings = ProcessCluster.Settings(datanodes: Self.datanodes)
    let common = ["datanode.heartbeat_interval=500ms", "transport.drain_grace=3s"]
    settings.coordinatorArguments = Self.options(
      common + [
        "coordinator.chunk_size=1MiB", "coordinator.down_after=2s", "coordinator.out_after=5s",
        "coordinator.reap_grace=1s", "coordinator.pin_lease=5s", "coordinator.upload_lease=10s",
        "coordinator.trash_retention=\(Self.trashRetention.components.seconds)s",
      ])
    settings.datanodeArguments = Self.options(common + ["datanode.reserve=16MiB"])
    var disks: [Int: SmallDisk] = [:]
    if isRoot {
      settings.isolated = true
      for number in 0..<Self.datanodes {
        let user = Self.firstUser + number
        let disk = try SmallDisk(mebibytes: Self.diskSize, owner: user)
        disks[number] = disk
        settings.users[number] = user
        settings.dataDirectories[number] = disk.path + "/data"
        try FileManager.default.createDirectory(
          atPath: disk.path + "/data", withIntermediateDirectories: true)
        try FileManager.default.setAttributes([.ownerAccountID: user], ofItemAtPath: disk.path + "/data")
      }
    }
    self.disks = disks
    let cluster = try ProcessCluster(settings)
    self.cluster = cluster
    try ClientLog.write(to: cluster.directory.path + "/clients.log")
    observer = try await Self.connect(to: cluster)
    probe = try await NodeProbe(cluster)
  }

  private static func options(_ settings: [String]) -> [String] { settings.flatMap { ["--set", $0] } }

  /// A client of the library whose connections begin inside of the cluster's network.
  static func connect(
    to cluster: ProcessCluster, patience: Duration = .seconds(8)
  ) async throws -> DFSClient {
    let address = try Endpoint(cluster.coordinatorAddress)
    var configuration = ClientConfiguration()
    configuration.patience = patience
    configuration.connectTimeout = patience
    configuration.memoryBudget = .mib(16)
    return try await cluster.inside { [configuration] in
      try DFSClient.connect(coordinators: [address], configuration: configuration)
    }
  }

  func close() async {
    await observer.close()
    await probe.close()
  }

  func connect(patience: Duration) async throws -> DFSClient {
    try await Self.connect(to: cluster, patience: patience)
  }

  // MARK: Healing

  func identity(ofDatanode number: Int) async throws -> NodeID? {
    let address = "127.0.0.1:\(cluster.datanodePorts[number])"
    return try await observer.nodes().first { $0.address == address && $0.state == .up }?.id
  }

  /// Copies on this datanode are bad or gone, which nobody knows yet. An emptied one was `formerly` another
  /// node.
  func wasHurt(_ number: Int, formerly: NodeID?) {
    wounds.withLock { wounds in
      wounds.unexamined.insert(number)
      if let formerly { wounds.former.insert(formerly) }
    }
  }

  /// Returns nothing when every node is up, those that were hurt have been looked at, and every chunk has all
  /// of its copies; else what is still amiss after the time. Does what an operator would do for it.
  func waitUntilHealed(within limit: Duration) async throws -> String? {
    let end = ContinuousClock.now.advanced(by: limit)
    var calmSince: ContinuousClock.Instant?
    var amiss = "nothing was looked at"
    repeat {
      do {
        amiss = try await whatIsAmiss() ?? ""
        if amiss.isEmpty { amiss = try await examine() ?? "" }
      } catch {
        amiss = "\(error)"
      }
      if amiss.isEmpty {
        // What was just found is told with the next heartbeat, and counted a moment later.
        if let calmSince, calmSince.duration(to: .now) > .seconds(2) { return nil }
        calmSince = calmSince ?? .now
      } else {
        calmSince = nil
      }
      try await Task.sleep(for: .milliseconds(300))
    } while ContinuousClock.now < end
    return amiss
  }

  /// Empties a node and takes it out of the cluster. False, and the node stays, when that takes too long.
  func drainAndRemove(_ node: NodeID, within limit: Duration) async throws -> Bool {
    let end = ContinuousClock.now.advanced(by: limit)
    try await observer.change(node, .drain)
    while ContinuousClock.now < end {
      try await Task.sleep(for: .milliseconds(500))
      do {
        try await observer.change(node, .remove(.whenUnneeded))
        return true
      } catch let error as DFSError where error.code == .failedPrecondition {
        // Some chunks are there alone.
      }
    }
    try await observer.change(node, .activate)
    return false
  }

  private func whatIsAmiss() async throws -> String? {
    let status = try await observer.status()
    let nodes = try await observer.nodes()
    for node in nodes where node.isSuspect && node.state == .up {
      // It was us.
      try await observer.change(node.id, .activate)
    }
    if status.nodesUp != Self.datanodes { return "\(status.nodesUp) of \(Self.datanodes) datanodes are up" }
    if let lost = nodes.first(where: { $0.state != .up && $0.slots > 0 }) {
      return "node \(lost.id) is \(lost.state) and has \(lost.slots) slots"
    }
    if status.groupsDegraded > 0 {
      return
        "\(status.groupsDegraded) groups lack copies, \(status.repair.chunksLeft) chunks are to be copied: "
        + status.actions.joined(separator: "; ")
    }
    for node in wounds.withLock({ $0.former }) {
      do {
        try await observer.change(node, .remove(.whenUnneeded))
      } catch let error as DFSError where error.metadata["refusal"] == "unchecked" {
        // As the refusal advises: only a check of all groups shows that nobody needs the node.
        return try await compareAllGroups() ?? error.message
      }
      _ = wounds.withLock { $0.former.remove(node) }
    }
    return nil
  }

  /// Has a datanode read everything it has.
  private func scrub(_ node: NodeID) async throws -> String? {
    let begun = ContinuousClock.now
    try await observer.controlJob("scrub", .run, at: .datanode(node))
    while begun.duration(to: .now) < .seconds(30) {
      try await Task.sleep(for: .milliseconds(300))
      guard let status = try await observer.nodes().first(where: { $0.id == node }) else { continue }
      // As old as the heartbeat that told of it.
      if let since = status.sinceScrub, since + status.lastContact < begun.duration(to: .now) { return nil }
    }
    return "the scrub of node \(node) does not end"
  }

  /// Has every copy on the nodes that were hurt verified, and looks for those that are gone.
  private func examine() async throws -> String? {
    let numbers = wounds.withLock { $0.unexamined }
    guard !numbers.isEmpty else { return nil }
    for number in numbers {
      guard let node = try await identity(ofDatanode: number) else { return "datanode \(number) is not up" }
      if let what = try await scrub(node) { return what }
    }
    if let what = try await compareAllGroups() { return what }
    wounds.withLock { $0.unexamined.subtract(numbers) }
    return "nodes that were hurt were just looked at"
  }

  /// Has what the nodes have compared with the metadata.
  private func compareAllGroups() async throws -> String? {
    let check = try await observer.status().check?.number ?? 0
    try await observer.controlJob("sweep_groups", .run, at: .coordinator)
    let end = ContinuousClock.now.advanced(by: .seconds(30))
    while try await observer.status().check?.number ?? 0 <= check {
      guard ContinuousClock.now < end else { return "the check of all groups does not end" }
      try await Task.sleep(for: .milliseconds(300))
    }
    return nil
  }
}
