import DFSClient
import DFSCoordinator
import DFSCore
import DFSRPC
import DFSWire
import TestSupport
import Testing

/// Real roles that lose a datanode, and heal.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HealingTests {
  private struct Files {
    var contents: [RemotePath: [UInt8]] = [:]
    var random = SeededGenerator(seed: 7)

    /// Small and large chunks, whole and short ones.
    mutating func put(_ count: Int, at place: String, by client: DFSClient) async throws {
      for number in 0..<count {
        let path = try RemotePath("/\(place)-\(number)")
        var options = UploadOptions()
        options.chunkSize = ChunkSize(bytes: number % 2 == 0 ? 65_536 : 524_288)
        let bytes = random.bytes(number % 2 == 0 ? 300_001 : 1_200_000)
        try await client.upload(bytes: bytes, to: path, options: options)
        contents[path] = bytes
      }
    }

    func check(by client: DFSClient) async throws {
      for (path, bytes) in contents { #expect(try await client.read(path) == bytes, "\(path)") }
    }
  }

  private func run(
    _ count: Int, outAfter: Duration = .seconds(1), _ body: (RunningCluster, DFSClient) async throws -> Void
  ) async throws {
    try await RunningCluster.run(
      datanodes: count,
      coordinator: { configuration in
        configuration.membership.downAfter = .seconds(1)
        configuration.membership.outAfter = outAfter
        configuration.membership.startGrace = .zero
        configuration.placement.fewestGroups = 8
        configuration.placement.slotsPerNode = 8
      }, body)
  }

  private func status(_ cluster: RunningCluster) async throws -> WireGetStatusResponse {
    try await cluster.coordinatorCall(CoordinatorMethods.getStatus, WireGetStatusRequest())
  }

  /// Waits for a state of the cluster.
  private func wait(
    _ cluster: RunningCluster, for what: String, _ isSo: (WireGetStatusResponse) -> Bool
  ) async throws {
    for _ in 0..<900 {
      if isSo(try await status(cluster)) { return }
      try await Task.sleep(for: .milliseconds(100))
    }
    throw DFSError(.deadlineExceeded, "the cluster does not come to be \(what): \(try await status(cluster))")
  }

  /// The nodes in slots, with their states.
  private func slots(_ cluster: RunningCluster) async throws -> [WireSlot] {
    try await cluster.coordinatorCall(CoordinatorMethods.getGroups, WireGetGroupsRequest()).groups.flatMap(
      \.slots)
  }

  private func isWhole(_ status: WireGetStatusResponse) -> Bool {
    status.groupsDegraded == 0 && status.repairGroups == 0
  }

  @Test func `a node that is lost is replaced, and every chunk has its copies again`() async throws {
    try await run(4) { cluster, client in
      var files = Files()
      try await files.put(8, at: "before", by: client)
      try await cluster.stopDatanode(0)
      try await wait(cluster, for: "a node short") { $0.nodesOut == 1 }
      try await wait(cluster, for: "whole") { isWhole($0) && $0.repairedChunks > 0 }
      #expect(try await slots(cluster).allSatisfy { $0.state == .full })
      try await files.check(by: client)
      // Three nodes and three copies: each of them has everything.
      for number in [1, 2] { try await cluster.stopDatanode(number) }
      try await files.check(by: client)
    }
  }

  @Test func `without a spare node slots stay vacant, and the one that returns gets what it lacks`()
    async throws
  {
    try await run(3) { cluster, client in
      var files = Files()
      try await files.put(4, at: "before", by: client)
      try await cluster.stopDatanode(2)
      try await wait(cluster, for: "a node short") { $0.nodesOut == 1 }
      for _ in 0..<300 {
        let members = try await slots(cluster).compactMap { $0.state == .vacant ? nil : $0.node }
        if Set(members).count == 2 { break }
        try await Task.sleep(for: .milliseconds(100))
      }
      try await files.put(4, at: "during", by: client)
      #expect(try await slots(cluster).allSatisfy { $0.state == .full || $0.state == .vacant })
      let before = try await status(cluster).repairedChunks
      try await cluster.startDatanode(2)
      try await wait(cluster, for: "whole", isWhole)
      let copied = try await status(cluster).repairedChunks - before
      // Half of the files have five chunks, the others three.
      #expect(copied == 16, "only what it missed was copied")
      for number in [0, 1] { try await cluster.stopDatanode(number) }
      try await files.check(by: client)
    }
  }

  @Test func `without a spare node slots stay vacant, and the next node fills them`() async throws {
    try await run(3) { cluster, client in
      var files = Files()
      try await files.put(6, at: "before", by: client)
      try await cluster.stopDatanode(2)
      try await wait(cluster, for: "a node short") { $0.nodesOut == 1 }
      try await cluster.startDatanode(3)
      try await wait(cluster, for: "whole", isWhole)
      #expect(try await slots(cluster).allSatisfy { $0.state == .full })
      for number in [0, 1] { try await cluster.stopDatanode(number) }
      try await files.check(by: client)
    }
  }

  @Test func `a member that missed writes is reconciled as soon as it is back`() async throws {
    try await run(3, outAfter: .seconds(120)) { cluster, client in
      var files = Files()
      try await files.put(2, at: "before", by: client)
      try await cluster.stopDatanode(1)
      try await files.put(6, at: "during", by: client)
      #expect(try await slots(cluster).contains { $0.state == .behind })
      try await cluster.startDatanode(1)
      try await wait(cluster, for: "whole", isWhole)
      for number in [0, 2] { try await cluster.stopDatanode(number) }
      try await files.check(by: client)
    }
  }

  @Test func `a coordinator that restarts in the middle of repair finishes it`() async throws {
    try await run(4) { cluster, client in
      var files = Files()
      try await files.put(10, at: "before", by: client)
      try await cluster.stopDatanode(3)
      try await wait(cluster, for: "a node short") { $0.nodesOut == 1 }
      try await cluster.stopCoordinator()
      try await cluster.startCoordinator()
      try await wait(cluster, for: "whole") { isWhole($0) && $0.nodesUp == 3 }
      #expect(try await slots(cluster).allSatisfy { $0.state == .full })
      for number in [0, 1] { try await cluster.stopDatanode(number) }
      try await files.check(by: client)
    }
  }
}
