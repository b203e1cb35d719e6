import DFSCore
import DFSKeyValue
import DFSMetadata
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import TestSupport
import Testing

@testable import DFSCoordinator

/// A coordinator whose own store lost something refuses to start, and says what to do.
@Suite(.serialized, .timeLimit(.minutes(2))) struct DamagedStoreTests {
  private func configuration(_ path: String) -> CoordinatorConfiguration {
    var configuration = CoordinatorConfiguration(
      data: path, server: RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)]))
    configuration.settleTime = .zero
    configuration.drainGrace = .zero
    return configuration
  }

  /// Starts a coordinator, makes directories, and stops it in an orderly way.
  private func live(_ path: String, directories: Range<Int>) async throws {
    let loops = NetworkLoops(count: 1)
    let server = CoordinatorServer(configuration(path), loops: loops, logger: CoordinatorScene.silence)
    do {
      let endpoints = try await server.start()
      let channel = RPCChannel(
        endpoints: endpoints, configuration: RPCChannel.Configuration(), loops: loops,
        logger: CoordinatorScene.silence)
      let run = Task { try await server.run() }
      for number in directories {
        var request = WireMakeDirectoryRequest()
        request.requestID = WireRequestId(RequestID(seen: .zero, high: 1, low: UInt64(number) + 1))
        request.path = "/directory-\(number)-" + String(repeating: "x", count: 150)
        let options = CallOptions(timeout: .seconds(20), waitForReady: true)
        _ = try await channel.call(CoordinatorMethods.makeDirectory, request, options: options)
      }
      await channel.close()
      server.stop()
      try await run.value
    } catch {
      await loops.shutdown()
      throw error
    }
    await loops.shutdown()
  }

  /// Why a start is refused; `nil` when it is not.
  private func refusal(_ path: String) async throws -> DFSError? {
    let loops = NetworkLoops(count: 1)
    defer { Task { await loops.shutdown() } }
    let server = CoordinatorServer(configuration(path), loops: loops, logger: CoordinatorScene.silence)
    do { _ = try await server.start() } catch { return DFSError(wrapping: error, "the start failed") }
    let run = Task { try await server.run() }
    server.stop()
    try await run.value
    return nil
  }

  private func files(_ path: String, _ suffix: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path + "/metadata")
      .filter { $0.hasSuffix(suffix) || (suffix == "MANIFEST" && $0.hasPrefix(suffix)) }.sorted()
      .map { path + "/metadata/" + $0 }
  }

  private func edit(_ file: String, _ change: (inout Data) -> Void) throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    change(&bytes)
    try bytes.write(to: URL(fileURLWithPath: file))
  }

  /// Writes everything into tables, as a store of some age has it.
  private func flush(_ path: String) throws {
    let store = try RocksDBStore(
      path: path + "/metadata", options: RocksDBOptions(cache: RocksDBCache(capacity: .mib(8))))
    try store.flush()
    store.close()
  }

  private enum Damage: String, CaseIterable, CustomTestStringConvertible {
    case noCurrent, cutManifest, flippedManifest, noManifest, flippedTable, noTable, cutTable
    case cutLog, noLog, noDatabase, changedRecord, foreignRecord, noState
    var testDescription: String { rawValue }
    /// Whether it is done to tables, or to the log that a kill leaves.
    var needsTables: Bool { [.flippedTable, .noTable, .cutTable].contains(self) }
  }

  @Test(arguments: Damage.allCases)
  private func `a damaged store refuses to start, and names the way back`(damage: Damage) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/coordinator"
    try await live(path, directories: 0..<40)
    if damage.needsTables { try flush(path) }
    try apply(damage, to: path)
    let error = try #require(try await refusal(path), "\(damage) is served")
    #expect(error.code == .corrupt, "\(error)")
    #expect(error.message.contains("dfsd admin recover --from-datanodes"), "\(error)")
    // Refused again, not healed by the attempt.
    #expect(try await refusal(path)?.code == .corrupt)
  }

  private func apply(_ damage: Damage, to path: String) throws {
    switch damage {
    case .noCurrent: try FileManager.default.removeItem(atPath: path + "/metadata/CURRENT")
    case .cutManifest: try edit(try files(path, "MANIFEST")[0]) { $0.removeLast($0.count / 2) }
    case .flippedManifest: try edit(try files(path, "MANIFEST")[0]) { $0[$0.count / 2] ^= 0x20 }
    case .noManifest: try FileManager.default.removeItem(atPath: try files(path, "MANIFEST")[0])
    case .flippedTable: try edit(try #require(try files(path, ".sst").first)) { $0[$0.count / 3] ^= 0x04 }
    case .noTable: try FileManager.default.removeItem(atPath: try #require(try files(path, ".sst").first))
    case .cutTable: try edit(try #require(try files(path, ".sst").first)) { $0.removeLast($0.count / 2) }
    case .cutLog: try edit(try #require(try files(path, ".log").last)) { $0.removeLast($0.count / 2) }
    case .noLog: try FileManager.default.removeItem(atPath: try #require(try files(path, ".log").last))
    case .noDatabase: try FileManager.default.removeItem(atPath: path + "/metadata")
    case .changedRecord:
      try change(path) { store, batch in
        try store.scan(KeyRange(prefix: Array("e/".utf8))) { key, value in
          batch.put(Array(key), Array(value.dropLast()) + [value[value.count - 1] ^ 1])
          return .stop
        }
      }
    case .foreignRecord: try change(path) { _, batch in batch.put(Array("zz".utf8), [1]) }
    case .noState: try change(path) { _, batch in batch.delete(Array("m/state".utf8)) }
    }
  }

  private func change(_ path: String, _ body: (RocksDBStore, inout WriteBatch) throws -> Void) throws {
    let store = try RocksDBStore(
      path: path + "/metadata", options: RocksDBOptions(cache: RocksDBCache(capacity: .mib(8))))
    defer { store.close() }
    var batch = WriteBatch()
    try body(store, &batch)
    try store.apply(batch, durability: .synced)
  }

  @Test func `a torn end of the log is no damage`() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/coordinator"
    try await live(path, directories: 0..<3)
    let log = try #require(try files(path, ".log").last)
    let handle = try #require(FileHandle(forWritingAtPath: log))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data([0x12, 0x34, 0x56, 0x78, 0xFF]))
    try handle.close()
    #expect(try await refusal(path) == nil)
  }

  @Test func `a directory whose first start was cut off is made again`() async throws {
    for left in [["metadata.new"], ["metadata.new", ".identity.tmp"], []] {
      let directory = try TemporaryDirectory()
      for name in left where name.hasPrefix("metadata") {
        try FileManager.default.createDirectory(
          atPath: directory.path + "/" + name, withIntermediateDirectories: false)
      }
      for name in left where !name.hasPrefix("metadata") {
        try Data("half".utf8).write(to: URL(fileURLWithPath: directory.path + "/" + name))
      }
      #expect(try await refusal(directory.path) == nil)
      // The identity is written after the database is in its place, and before anything else.
      for name in ["identity", "last-round"] {
        try FileManager.default.removeItem(atPath: directory.path + "/" + name)
      }
      #expect(try await refusal(directory.path) == nil)
    }
  }

  @Test func `an inspection without time leaves the rest to a job, which finds the damage`() async throws {
    let store = MemoryStore()
    try await CoordinatorScene.run(store: store) { scene in
      for number in 0..<20 { try await scene.coordinator.namespace.mutate(mkdir("/d\(number)")) }
    }
    func rest() throws -> DigestCheck? {
      try StartInspection.run(store, within: .zero)
    }
    // Small stores are read at once.
    #expect(try rest() == nil)
    var batch = WriteBatch()
    batch.put(Array("e/zzzzzzzzz".utf8), [1])
    try store.apply(batch, durability: .synced)
    #expect(throws: DFSError.self) { try rest() }
    let disk = BlockingThreads(count: 1, name: "test-disk")
    defer { disk.shutdown() }
    let job = CheckMetadata(store: store, disk: disk, unfinished: nil, logger: CoordinatorScene.silence)
    #expect(try await job.step() != .atOnce)
    await #expect(throws: DFSError.self) { try await job.step() }
  }

  private func mkdir(_ path: String) throws -> MakeDirectory {
    MakeDirectory(
      path: try RemotePath(path), parents: .mustExist,
      attributes: FileAttributes(mode: 0o755, modified: FileTime(rawValue: 0)))
  }
}
