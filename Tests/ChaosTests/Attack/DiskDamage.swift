import Foundation
import TestSupport

/// Damages what lies in a datanode's or coordinator's directory.
struct DiskDamage {
  let directory: String
  var random: SeededGenerator

  /// Damages a part of the files, at least one where there are any; returns how many.
  mutating func apply(_ damage: Fault.Damage) throws -> Int {
    switch damage {
    case .flippedChunks: return try forSome(files(below: "chunks")) { try $0.flip($1) }
    case .truncatedChunks: return try forSome(files(below: "chunks")) { try $0.truncate($1) }
    case .removedChunks:
      return try forSome(files(below: "chunks")) { try FileManager.default.removeItem(atPath: $1) }
    case .flippedSmallStore: return try forSome(store()) { try $0.flip($1) }
    case .truncatedSmallStore: return try forSome(store()) { try $0.truncate($1) }
    case .emptied:
      let names = try FileManager.default.contentsOfDirectory(atPath: directory)
      for name in names { try FileManager.default.removeItem(atPath: "\(directory)/\(name)") }
      return names.count
    }
  }

  /// What RocksDB keeps, but for its own log and lock.
  private func store() -> [String] {
    files(below: "small").filter { !$0.hasSuffix("LOCK") && !$0.contains("/LOG") }
  }

  private mutating func forSome(
    _ files: [String], _ body: (inout DiskDamage, String) throws -> Void
  ) throws -> Int {
    let count = max(1, files.count / Int.random(in: 1...4, using: &random))
    var damaged = 0
    for file in files.shuffled(using: &random).prefix(count) {
      // Those of a running node come and go.
      if (try? body(&self, file)) != nil { damaged += 1 }
    }
    return damaged
  }

  /// Inverts one bit of a byte anywhere in the file, in place.
  mutating func flip(_ file: String) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
    defer { try? handle.close() }
    let length = try handle.seekToEnd()
    guard length > 0 else { return }
    let offset = UInt64.random(in: 0..<length, using: &random)
    try handle.seek(toOffset: offset)
    let byte = try handle.read(upToCount: 1)?.first ?? 0
    try handle.seek(toOffset: offset)
    try handle.write(contentsOf: Data([byte ^ UInt8(1 << Int.random(in: 0..<8, using: &random))]))
  }

  /// Cuts the file short anywhere, often to nothing.
  mutating func truncate(_ file: String) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
    defer { try? handle.close() }
    let length = try handle.seekToEnd()
    guard length > 0 else { return }
    let toNothing = Int.random(in: 0..<3, using: &random) == 0
    try handle.truncate(atOffset: toNothing ? 0 : UInt64.random(in: 0..<length, using: &random))
  }

  /// Regular files below a folder of the directory, in order.
  func files(below folder: String) -> [String] {
    let root = "\(directory)/\(folder)"
    let enumerator = FileManager.default.enumerator(atPath: root)
    var files: [String] = []
    while let name = enumerator?.nextObject() as? String {
      if enumerator?.fileAttributes?[.type] as? FileAttributeType == .typeRegular {
        files.append("\(root)/\(name)")
      }
    }
    return files.sorted()
  }
}
