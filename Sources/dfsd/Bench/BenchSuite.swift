import DFSClient
import Foundation

/// The cases that every system in our comparison was measured with: bulk transfer, small files alone and
/// sixteen at once, and the namespace.
///
/// Downloads are verified and then discarded, as the other systems' were, so that no local disk is measured.
struct BenchSuite {
  let client: DFSClient
  let meter: BenchMeter
  let ceilings: MachineCeilings
  /// Directory in the namespace; created before and removed after.
  let root: RemotePath
  /// A local directory for the large source file.
  let scratch: String
  /// Divides sizes and counts, for a quick look.
  let divisor: Int

  private var largeBytes: Int64 { Int64(1 << 30) / Int64(divisor) }
  private func count(_ full: Int) -> Int { max(full / divisor, 16) }

  /// Runs every case whose name contains `filter`; `report` gets each result as it is there.
  func run(filter: String?, report: (BenchResult) -> Void) async throws {
    try await client.makeDirectory(root, makeParents: true)
    func wants(_ name: String) -> Bool { filter.map { name.contains($0) } ?? true }
    if wants("1 GiB") { try await large(report) }
    for (size, operations, parallel) in [(64 << 10, 500, 16), (4 << 10, 2000, 1), (4 << 10, 2000, 16)] {
      let label = "\(size >> 10) KiB, \(parallel) at once"
      if wants(label) {
        try await small(label, size: size, operations: count(operations), parallel: parallel, report)
      }
    }
    if wants("names") { try await names(report) }
    try await client.remove(root, .tree, .now)
  }

  private func large(_ report: (BenchResult) -> Void) async throws {
    let source = scratch + "/dfs-bench-source-\(ProcessInfo.processInfo.processIdentifier)"
    defer { unlink(source) }
    try Self.writeNoise(to: source, bytes: largeBytes)
    let path = root.appending(try FileName("large"))
    let client = client
    let size = divisor == 1 ? "1 GiB" : "1/\(divisor) GiB"
    var put = try await meter.measure("put \(size) x 3", operations: 1, bytes: largeBytes) { _ in
      try await client.upload(file: source, to: path)
    }
    // Three copies share the disk that was measured.
    put.ceiling = .init(name: "disk / 3", share: put.megabytesPerSecond * 3 / ceilings.diskWrite)
    report(put)
    var get = try await meter.measure("get \(size)", operations: 1, bytes: largeBytes) { _ in
      try await client.download(path, to: "/dev/null")
    }
    get.ceiling = .init(name: "SHA-256", share: get.megabytesPerSecond / ceilings.sha256)
    report(get)
  }

  private func small(
    _ label: String, size: Int, operations: Int, parallel: Int, _ report: (BenchResult) -> Void
  ) async throws {
    let directory = root.appending(try FileName("small-\(size)-\(parallel)"))
    try await client.makeDirectory(directory)
    let client = client
    let bytes = Int64(size) * Int64(operations)
    var put = try await meter.measure(
      "put \(label)", operations: operations, bytes: bytes, parallel: parallel
    ) {
      var content = [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: size)
      content[0] = UInt8(truncatingIfNeeded: $0 >> 8)
      try await client.upload(bytes: content, to: directory.appending(try FileName("f\($0)")))
    }
    let syncs = parallel == 1 ? ceilings.syncs : ceilings.syncsOfSixteen
    put.ceiling = .init(name: "fdatasync", share: put.operationsPerSecond / syncs)
    report(put)
    report(
      try await meter.measure("get \(label)", operations: operations, bytes: bytes, parallel: parallel) {
        let content = try await client.read(directory.appending(try FileName("f\($0)")))
        guard content.count == size else { throw BenchError("a file came back with \(content.count) bytes") }
      })
  }

  private func names(_ report: (BenchResult) -> Void) async throws {
    let directory = root.appending(try FileName("names"))
    try await client.makeDirectory(directory)
    let client = client
    let operations = count(5000)
    var create = try await meter.measure(
      "names: create, 16 at once", operations: operations, bytes: 0, parallel: 16
    ) {
      try await client.upload(bytes: [], to: directory.appending(try FileName("f\($0)")))
    }
    create.ceiling = .init(name: "fdatasync", share: create.operationsPerSecond / ceilings.syncsOfSixteen)
    report(create)
    report(
      try await meter.measure("names: stat, 16 at once", operations: operations, bytes: 0, parallel: 16) {
        _ = try await client.stat(directory.appending(try FileName("f\($0)")))
      })
    var list = try await meter.measure("names: list all", operations: 1, bytes: 0) { _ in
      var found = 0
      for try await _ in client.entries(of: directory) { found += 1 }
      guard found == operations else { throw BenchError("the listing has \(found) of \(operations) names") }
    }
    list.operations = operations
    report(list)
    var delete = try await meter.measure(
      "names: delete, 16 at once", operations: operations, bytes: 0, parallel: 16
    ) {
      try await client.remove(directory.appending(try FileName("f\($0)")))
    }
    delete.ceiling = .init(name: "fdatasync", share: delete.operationsPerSecond / ceilings.syncsOfSixteen)
    report(delete)
  }

  /// Bytes that no layer can compress or find twice.
  private static func writeNoise(to path: String, bytes: Int64) throws {
    let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw BenchError("cannot create \(path): \(errnoText())") }
    defer { close(descriptor) }
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    var words = [UInt64](repeating: 0, count: 1 << 17)
    var left = bytes
    while left > 0 {
      for index in words.indices {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        words[index] = state
      }
      let count = min(Int(left), words.count * 8)
      let written = words.withUnsafeBytes { write(descriptor, $0.baseAddress, count) }
      guard written == count else { throw BenchError("cannot write \(path): \(errnoText())") }
      left -= Int64(count)
    }
    // What is dirty now would be written back in the middle of the measurement.
    guard fdatasync(descriptor) == 0 else { throw BenchError("cannot sync \(path): \(errnoText())") }
  }
}
