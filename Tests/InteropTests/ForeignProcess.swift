import Foundation
import Synchronization

/// A Python script of `Foreign`, running: its lines, its end, and a way to talk to it. Killed with the value.
final class ForeignProcess: Sendable {
  struct Failed: Error, CustomStringConvertible {
    let description: String
  }

  /// The interpreter with grpcio: `DFS_TEST_PYTHON`, else one in an environment made under `.build` once.
  static let python: Result<String, any Error> = Result {
    if let path = ProcessInfo.processInfo.environment["DFS_TEST_PYTHON"] { return path }
    let folder = FileManager.default.currentDirectoryPath + "/.build/interop-venv"
    let python = folder + "/bin/python3"
    let mark = folder + "/complete"
    guard !FileManager.default.fileExists(atPath: mark) else { return python }
    try run("/usr/bin/env", ["python3", "-m", "venv", folder])
    try run(
      python,
      [
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "grpcio", "grpcio-reflection",
        "grpcio-health-checking", "grpcio-status", "grpcio-tools",
      ])
    try Data().write(to: URL(fileURLWithPath: mark))
    return python
  }

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Foreign"

  private struct State {
    var errors = ""
    var status: Int32?
    var waiters: [CheckedContinuation<Int32, Never>] = []
  }

  private let process = Mutex(Process())
  private let pid: Int32
  private let input: FileHandle
  private let lines: AsyncStream<String>
  private let state = Mutex(State())

  init(_ executable: String, _ arguments: [String]) throws {
    let standardInput = Pipe()
    let output = Pipe()
    let errors = Pipe()
    input = standardInput.fileHandleForWriting
    let (lines, continuation) = AsyncStream.makeStream(of: String.self)
    self.lines = lines
    pid = try process.withLock { process in
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = [executable] + arguments
      process.standardInput = standardInput
      process.standardOutput = output
      process.standardError = errors
      try process.run()
      return process.processIdentifier
    }
    Thread.detachNewThread {
      Self.readLines(output.fileHandleForReading) { continuation.yield($0) }
      continuation.finish()
    }
    Thread.detachNewThread { [self] in
      Self.readLines(errors.fileHandleForReading) { line in state.withLock { $0.errors += line + "\n" } }
      // Standard error ends with the process; only then is its status asked for, which blocks this thread
      // alone.
      var status: Int32 = 0
      let process = process.withLock { $0 }
      process.waitUntilExit()
      status = process.terminationStatus
      let waiters = state.withLock { state in
        state.status = status
        defer { state.waiters = [] }
        return state.waiters
      }
      for waiter in waiters { waiter.resume(returning: status) }
    }
  }

  convenience init(script: String, _ arguments: [String]) throws {
    try self.init(try Self.python.get(), [Self.folder + "/" + script] + arguments)
  }

  /// The next line of standard output.
  func line() async throws -> String {
    for await line in lines { return line }
    _ = await status()
    throw Failed(description: "it ended: \(errors)")
  }

  /// All that is left of standard output, to its end.
  func rest() async -> [String] {
    var rest: [String] = []
    for await line in lines { rest.append(line) }
    return rest
  }

  func send(_ line: String) { input.write(Data((line + "\n").utf8)) }

  /// Closes its standard input.
  func closeInput() { try? input.close() }

  var errors: String { state.withLock { $0.errors } }

  /// Waits for the end; gives the exit status.
  func status() async -> Int32 {
    await withCheckedContinuation { continuation in
      let status: Int32? = state.withLock { state in
        if state.status == nil { state.waiters.append(continuation) }
        return state.status
      }
      if let status { continuation.resume(returning: status) }
    }
  }

  /// Waits for success; throws what it said on standard error otherwise, or when it takes longer than
  /// `limit`.
  func succeed(within limit: Duration = .seconds(60)) async throws {
    let watch = Task { [self] in
      try await Task.sleep(for: limit)
      kill()
    }
    defer { watch.cancel() }
    let status = await status()
    guard status == 0 else { throw Failed(description: "status \(status): \(errors)") }
  }

  func kill() { if state.withLock({ $0.status == nil }) { Foundation.kill(pid, SIGKILL) } }

  private static func readLines(_ handle: FileHandle, _ body: (String) -> Void) {
    var rest = Data()
    while true {
      let data = handle.availableData
      if data.isEmpty { break }
      rest += data
      while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        body(String(decoding: rest[rest.startIndex..<end], as: UTF8.self))
        rest = Data(rest[(end + 1)...])
      }
    }
    if !rest.isEmpty { body(String(decoding: rest, as: UTF8.self)) }
  }

  private static func run(_ executable: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failed(description: "\(executable) \(arguments) ended with \(process.terminationStatus)")
    }
  }
}
