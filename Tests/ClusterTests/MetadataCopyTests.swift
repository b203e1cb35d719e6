import DFSClient
import DFSCoordinator
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import TestSupport
import Testing

/// The coordinator keeps copies of its metadata on real datanodes.
@Suite(.serialized, .timeLimit(.minutes(2))) struct MetadataCopyTests {
  private func status(_ cluster: RunningCluster) async throws -> WireGetStatusResponse {
    try await cluster.coordinatorCall(CoordinatorMethods.getStatus, WireGetStatusRequest())
  }

  /// Waits until so many copies are complete and up to date.
  private func settled(_ cluster: RunningCluster, copies: Int) async throws -> [WireMetadataCopy] {
    for _ in 0..<600 {
      let status = try await status(cluster)
      let complete = status.metadataCopies.filter { $0.complete && $0.lagRounds == 0 }
      if complete.count == copies, status.metadataCopies.count == copies { return complete }
      try await Task.sleep(for: .milliseconds(100))
    }
    throw DFSError(.deadlineExceeded, "the copies do not settle: \(try await status(cluster).metadataCopies)")
  }

  @Test func `two datanodes get a copy and every change, through restarts and the loss of one`() async throws {
    try await RunningCluster.run(
      datanodes: 3,
      coordinator: {
        $0.membership.downAfter = .seconds(1)
        $0.membership.outAfter = .seconds(2)
        $0.membership.startGrace = .zero
      }
    ) { cluster, client in
      let first = try await settled(cluster, copies: 2)
      for number in 0..<20 {
        try await client.upload(bytes: [UInt8(number)], to: try RemotePath("/f\(number)"))
      }
      let second = try await settled(cluster, copies: 2)
      #expect(Set(first.map(\.node)) == Set(second.map(\.node)), "copies stay where they are")
      #expect(second[0].round > first[0].round)

      // After a restart the same nodes go on.
      try await cluster.stopCoordinator()
      try await cluster.startCoordinator()
      let third = try await settled(cluster, copies: 2)
      #expect(Set(first.map(\.node)) == Set(third.map(\.node)))

      // A node that is lost has its copy made again elsewhere.
      let lost = try #require(cluster.number(of: NodeID(rawValue: first[0].node)))
      try await cluster.stopDatanode(lost)
      var holders: Set<UInt64> = []
      for _ in 0..<300 {
        let copies = try await status(cluster).metadataCopies.filter(\.complete)
        holders = Set(copies.map(\.node))
        if holders.count == 2, !holders.contains(first[0].node) { break }
        try await Task.sleep(for: .milliseconds(100))
      }
      #expect(holders.count == 2 && !holders.contains(first[0].node))
    }
  }
}
