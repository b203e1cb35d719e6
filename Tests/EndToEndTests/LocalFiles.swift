import Foundation
import TestSupport
import Testing

/// Files of known content for one test.
struct LocalFiles {
  let directory: TemporaryDirectory
  private var random: SeededGenerator

  init() throws {
    directory = try TemporaryDirectory("dfs-files")
    random = SeededGenerator()
    print("seed \(random.seed)")
  }

  /// Writes `count` random bytes and returns the path.
  mutating func make(_ name: String, bytes count: Int) throws -> String {
    let path = "\(directory.path)/\(name)"
    var data = Data(count: count)
    data.withUnsafeMutableBytes { buffer in
      var offset = 0
      while offset < buffer.count {
        let word = random.next()
        withUnsafeBytes(of: word) { bytes in
          let length = min(8, buffer.count - offset)
          UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<offset + length])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        }
        offset += 8
      }
    }
    try data.write(to: URL(fileURLWithPath: path))
    return path
  }

  func path(_ name: String) -> String { "\(directory.path)/\(name)" }
}

func expectSameBytes(
  _ first: String, _ second: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let one = try Data(contentsOf: URL(fileURLWithPath: first), options: .mappedIfSafe)
  let other = try Data(contentsOf: URL(fileURLWithPath: second), options: .mappedIfSafe)
  #expect(one == other, "\(first) and \(second) differ", sourceLocation: sourceLocation)
}

func expectSuccess(
  _ run: ProgramRun, _ cluster: ProcessCluster, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(run.status == 0, "\(run.errors)\n\(run.output)\n\(cluster.logs())", sourceLocation: sourceLocation)
}

/// The chunk files in a datanode's directory.
func chunkFiles(in dataDirectory: String) -> [String] {
  let chunks = dataDirectory + "/chunks"
  let enumerator = FileManager.default.enumerator(atPath: chunks)
  var files: [String] = []
  while let name = enumerator?.nextObject() as? String {
    var isDirectory: ObjCBool = false
    let path = "\(chunks)/\(name)"
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue {
      files.append(path)
    }
  }
  return files.sorted()
}

/// Inverts one bit in the middle of a file, in place.
func flipByte(in path: String, at offset: UInt64) throws {
  let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
  defer { try? handle.close() }
  try handle.seek(toOffset: offset)
  let byte = try handle.read(upToCount: 1)?.first ?? 0
  try handle.seek(toOffset: offset)
  try handle.write(contentsOf: Data([byte ^ 0x10]))
  try handle.synchronize()
}
