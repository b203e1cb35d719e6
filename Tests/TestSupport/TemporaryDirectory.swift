import Foundation

/// A directory of its own for one test, removed with the value. Under `DFS_TEST_DIRECTORY` when that is set.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init(_ name: String = "dfs-test") throws {
    let parent = ProcessInfo.processInfo.environment["DFS_TEST_DIRECTORY"] ?? NSTemporaryDirectory()
    path = URL(fileURLWithPath: parent).appendingPathComponent("\(name)-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

func environmentSeed() -> UInt64? {
  ProcessInfo.processInfo.environment["DFS_TEST_SEED"].flatMap { UInt64($0) }
}
