import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSMetadata

/// Figures, not judgements: `DFS_SPEED=1 swift test -c release -Xswiftc -enable-testing --filter
/// DFSMetadataTests.SpeedTests`. Set `DFS_TEST_DIRECTORY` to measure on another disk.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["DFS_SPEED"] != nil))
struct SpeedTests {
  private static let callers = 16
  private static let each = 2_000

  private func cpu() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  private func measure(_ what: String, count: Int, _ body: () async throws -> Void) async throws {
    let (start, used) = (ContinuousClock.now, cpu())
    try await body()
    let wall = Double((ContinuousClock.now - start).milliseconds) / 1000
    let each = (cpu() - used) / Double(count) * 1e6
    print(String(format: "%@: %.0f/s, %.1f µs CPU each", what as NSString, Double(count) / wall, each))
  }

  private func concurrently(_ body: @escaping @Sendable (_ caller: Int, _ number: Int) async throws -> Void)
    async throws
  {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for caller in 0..<Self.callers {
        group.addTask { for number in 0..<Self.each { try await body(caller, number) } }
      }
      try await group.waitForAll()
    }
  }

  @Test func `create, stat, list, overwrite and delete small files, 16 at once`() async throws {
    let cluster = try TestCluster(.rocksDB) { $0.reapGrace = .zero }
    try await cluster.form(groups: 64)
    try await cluster.mkdir("/bench")
    let namespace = cluster.namespace
    let attributes = cluster.attributes
    let total = Self.callers * Self.each
    @Sendable func path(_ caller: Int, _ number: Int) throws -> RemotePath {
      try RemotePath("/bench/file-\(caller)-\(number)")
    }
    @Sendable func id(_ operation: UInt64, _ caller: Int, _ number: Int) -> RequestID {
      RequestID(seen: namespace.revision, high: operation, low: UInt64(caller * Self.each + number))
    }
    @Sendable func put(_ path: RemotePath, _ bytes: [UInt8], _ id: RequestID) async throws {
      try await namespace.mutate(
        PutInline(target: path, attributes: attributes, bytes: bytes, root: digest(1)), id: id)
    }
    try await measure("create empty", count: total) {
      try await concurrently { try await put(try path($0, $1), [], id(1, $0, $1)) }
    }
    let paths = try (0..<Self.callers).flatMap { caller in try (0..<Self.each).map { try path(caller, $0) } }
    try await measure("stat", count: total) {
      for path in paths { _ = try namespace.view().stat(path) }
    }
    try await measure("list with attributes", count: total) {
      var request = ListRequest(path: cluster.path("/bench"))
      while let next = try namespace.list(request).next {
        (request.after, request.snapshot) = (next.after, next.snapshot)
      }
    }
    let contents = [UInt8](repeating: 7, count: 4096)
    try await measure("overwrite with 4 KiB", count: total) {
      try await concurrently { try await put(try path($0, $1), contents, id(2, $0, $1)) }
    }
    try await measure("delete", count: total) {
      try await concurrently { caller, number in
        let remove = Remove(path: try path(caller, number), scope: .fileOrEmptyDirectory)
        try await namespace.mutate(remove, id: id(3, caller, number))
      }
    }
    try await measure("begin and commit one chunk", count: total) {
      let shared = Unchecked(cluster)
      try await concurrently { caller, number in
        let cluster = shared.value
        let begin = BeginUpload(
          target: try path(caller, number), attributes: attributes, chunkSize: smallChunks,
          groups: [GroupID(rawValue: UInt32(number % 64))])
        let upload = try await namespace.mutate(begin, id: id(4, caller, number)).outcome.upload
        let group = try namespace.view().group(GroupID(rawValue: UInt32(number % 64)))
        let holders = group?.members.map(\.rawValue) ?? []
        _ = try await cluster.commit(upload, cluster.stored([0], holders: holders), id: id(5, caller, number))
      }
    }
    try await cluster.finish()
  }

  @Test func `one caller`() async throws {
    let cluster = try TestCluster(.rocksDB)
    try await measure("create empty, one caller", count: 2_000) {
      for number in 0..<2_000 {
        try await cluster.put(
          "/\(number)", id: RequestID(seen: cluster.revision, high: 1, low: UInt64(number)))
      }
    }
    try await cluster.finish()
  }
}
