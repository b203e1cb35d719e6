import DFSObservability
import Foundation
import Logging
import Synchronization

/// Where the library's log goes in these tests: to a file that is kept beside the servers' logs when a run
/// fails, for the tests' own output would drown in it.
struct ClientLog: LogSink {
  private static let file = Mutex<FileHandle?>(nil)
  private static let start: Void = LoggingSystem.bootstrap {
    LineLogHandler(label: $0, format: .json, level: .info, sink: ClientLog())
  }

  /// Everything that is logged from now on goes there.
  static func write(to path: String) throws {
    start
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    file.withLock { $0 = handle }
  }

  func write(_ line: String) { Self.file.withLock { try? $0?.write(contentsOf: Data("\(line)\n".utf8)) } }
}
