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
  /// Nodes that were hurt and that no scrub has looked at since.
  private let hurt = Mutex<Set<Int>>([])

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

  func connect(patience: Duration) async throws -> DFSClient {
    try await Self.connect(to: cluster, patience: patience)
  }

  func identity(ofDatanode number: Int) async throws -> NodeID? {
    let address = "127.0.0.1:\(cluster.datanodePorts[number])"
    return try await observer.nodes().first { $0.address == address && $0.state != .removed }?.id
  }

  func wasHurt(_ number: Int, formerly: NodeID?) async throws {
    _ = hurt.withLock { $0.insert(number) }
  }

  /// Returns nothing when every node is up and every chunk has all of its copies, else what is still amiss
  /// after the time.
  func waitUntilHealed(within limit: Duration) async throws -> String? {
    let end = ContinuousClock.now.advanced(by: limit)
    var amiss = ""
    repeat {
      amiss = await whatIsAmiss() ?? ""
      if amiss.isEmpty { return nil }
      try await Task.sleep(for: .milliseconds(300))
    } while ContinuousClock.now < end
    return amiss
  }

  private func whatIsAmiss() async -> String? {
    do {
      let status = try await observer.status()
      if status.nodesUp != Self.datanodes { return "\(status.nodesUp) of \(Self.datanodes) datanodes are up" }
      if status.groupsDegraded > 0 { return "\(status.groupsDegraded) groups lack copies" }
      return nil
    } catch {
      return "no status: \(error)"
    }
  }
}
