import DFSClient
import DFSCore
import Foundation
import TestSupport
import Testing

/// The check and the search for strays, with the real roles.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CheckTests {
  @Test func `what a node that was given up brings back goes, and nothing that lives does`() async throws {
    try await RunningCluster.run(
      datanodes: 4,
      coordinator: { configuration in
        configuration.membership.downAfter = .seconds(1)
        configuration.membership.outAfter = .seconds(2)
        configuration.membership.startGrace = .zero
        configuration.membership.lease = .seconds(1)
        configuration.namespace.reapGrace = .seconds(1)
        configuration.namespace.pinDuration = .seconds(1)
      }
    ) { cluster, client in
      var random = SeededGenerator()
      print("seed \(random.seed)")
      var options = UploadOptions()
      options.chunkSize = ChunkSize(bytes: 1 << 18)
      var files: [(path: RemotePath, bytes: [UInt8])] = []
      for number in 0..<20 {
        let bytes = random.bytes(Int.random(in: 300_000...1_200_000, using: &random))
        let path = try RemotePath("/file-\(number)")
        try await client.upload(bytes: bytes, to: path, options: options)
        files.append((path, bytes))
      }
      try await cluster.stopDatanode(3)
      try await eventually("the other three have everything") {
        let status = try await client.status()
        return status.nodesOut == 1 && status.groupsDegraded == 0
      }
      for file in files.prefix(10) { try await client.remove(file.path, .single, .now) }
      files.removeFirst(10)
      try await eventually("the removed files are reaped") { try await client.status().condemned == 0 }

      // It has chunks that live, of groups that others keep now, and chunks that nothing knows any more.
      try await cluster.startDatanode(3)
      let before = try await client.nodes().map(\.chunks)
      #expect(before.reduce(0, +) > 3 * (try await client.status().chunks))
      try await eventually("everything is there three times, and nothing else", every: .seconds(1)) {
        // One that is under way would begin anew, and on a slow machine never end.
        for job in try await client.jobs(.coordinator).jobs
        where ["sweep_groups", "sweep_strays"].contains(job.name) && job.progress == nil {
          try await client.controlJob(job.name, .run, at: .coordinator)
        }
        let (status, nodes) = (try await client.status(), try await client.nodes())
        return status.groupsDegraded == 0 && status.condemned == 0 && nodes.count == 4
          && nodes.reduce(0) { $0 + $1.chunks } == 3 * status.chunks && status.check?.strays == 0
      }
      let check = try #require(try await client.status().check)
      #expect(check.missingChunks == 0 && check.skippedGroups == 0)
      for file in files { #expect(try await client.read(file.path) == file.bytes) }
    }
  }

  private func eventually(
    _ what: String, every pause: Duration = .milliseconds(100), _ condition: () async throws -> Bool
  ) async throws {
    let end = ContinuousClock.now + .seconds(90)
    while ContinuousClock.now < end {
      if try await condition() { return }
      try await Task.sleep(for: pause)
    }
    Issue.record("in vain: \(what)")
  }
}
