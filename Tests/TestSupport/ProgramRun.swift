package import Foundation

/// One run of a program to its end, with everything it wrote. Its output goes through files, so that a
/// program may print more than a pipe holds.
package struct ProgramRun: Sendable {
  package let status: Int32
  package let output: String
  package let errors: String

  package struct TimedOut: Error, CustomStringConvertible {
    package let description: String
    package init(description: String) { self.description = description }
  }

  /// Runs `program` and waits for it. A program that takes longer than `limit` is killed and reported as
  /// `TimedOut`.
  package static func run(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: Data? = nil,
    outputFile: String? = nil, limit: Duration = .seconds(120)
  ) async throws -> ProgramRun {
    let scratch = try TemporaryDirectory("dfs-run")
    let outputPath = outputFile ?? scratch.path + "/out"
    let started = try StartedProgram(
      program, arguments, environment: environment, input: input, output: outputPath,
      errors: scratch.path + "/err")
    let status = try await started.exit(within: limit)
    let output = outputFile == nil ? try text(at: outputPath) : ""
    return ProgramRun(status: status, output: output, errors: try text(at: scratch.path + "/err"))
  }

  private static func text(at path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }
}

/// A program that goes on beside the test until it is told to stop. Killed when the value goes away.
package final class StartedProgram: @unchecked Sendable {
  // SAFETY: `Process` is started before the value is shared; afterwards only its thread-safe pid and the
  // exit stream are used.
  private let process = Process()
  private let exits: AsyncStream<Int32>
  package let arguments: [String]

  package init(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: Data? = nil,
    output: String, errors: String
  ) throws {
    self.arguments = arguments
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    for path in [output, errors] where !FileManager.default.fileExists(atPath: path) {
      _ = FileManager.default.createFile(atPath: path, contents: nil)
    }
    let out = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    try out.seekToEnd()
    process.standardOutput = out
    let err = output == errors ? out : try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
    try err.seekToEnd()
    process.standardError = err
    if let input {
      let path = errors + ".in"
      try input.write(to: URL(fileURLWithPath: path))
      process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    } else {
      process.standardInput = FileHandle.nullDevice
    }
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    exits = stream
    process.terminationHandler = {
      continuation.yield($0.terminationReason == .exit ? $0.terminationStatus : 128 + $0.terminationStatus)
      continuation.finish()
    }
    try process.run()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  package var pid: Int32 { process.processIdentifier }
  package var isRunning: Bool { process.isRunning }
  package func signal(_ number: Int32) { if process.isRunning { kill(pid, number) } }

  /// Waits until the program has said what it does on a signal, which takes it a moment after its start: before
  /// that the signal would just end it. Returns also when the program has ended.
  package func waitUntilHandling(_ number: Int32, limit: Duration = .seconds(20)) async throws {
    let end = ContinuousClock.now.advanced(by: limit)
    while isRunning, !handles(number) {
      guard ContinuousClock.now < end else {
        throw ProgramRun.TimedOut(
          description: "\(arguments.joined(separator: " ")) does not handle signal \(number)")
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  /// Whether the signal is caught, or ignored and read from a descriptor, as proc(5) shows it. That it is blocked
  /// says nothing: a program inherits that from the thread that started it.
  private func handles(_ number: Int32) -> Bool {
    guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else {
      return false
    }
    return status.split(separator: "\n").contains { line in
      guard line.hasPrefix("SigCgt:") || line.hasPrefix("SigIgn:") else { return false }
      let mask = UInt64(line.drop { $0 != "\t" }.dropFirst(), radix: 16) ?? 0
      return mask & 1 << UInt64(number - 1) != 0
    }
  }

  /// The exit status, or 128 and the number of the signal that ended it.
  package func exit(within limit: Duration) async throws -> Int32 {
    let status = await withTaskGroup(of: Int32?.self) { group in
      group.addTask { [exits] in
        for await status in exits { return status }
        return nil
      }
      group.addTask {
        try? await Task.sleep(for: limit)
        return nil
      }
      defer { group.cancelAll() }
      return await group.next() ?? nil
    }
    if let status { return status }
    signal(SIGKILL)
    throw ProgramRun.TimedOut(description: "\(arguments.joined(separator: " ")) took longer than \(limit)")
  }
}
