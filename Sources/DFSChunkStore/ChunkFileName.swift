import DFSCore

/// The names of chunk files and group directories: hexadecimal, of fixed width. Names of another shape are
/// not ours and are left alone.
enum ChunkFileName {
  static func name(_ group: GroupID) -> String { hexadecimal(UInt64(group.rawValue), digits: 8) }

  static func name(_ chunk: ChunkID) -> String {
    hexadecimal(chunk.inode.rawValue, digits: 16) + "." + hexadecimal(UInt64(chunk.index), digits: 8)
  }

  static func quarantine(_ chunk: ChunkID, _ group: GroupID, _ number: Int) -> String {
    "\(name(chunk)).\(name(group)).\(number)"
  }

  static func group(_ name: String) -> GroupID? {
    number(name.utf8, digits: 8).map { GroupID(rawValue: UInt32($0)) }
  }

  static func chunk(_ name: String) -> ChunkID? {
    let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 2, let inode = number(parts[0], digits: 16), let index = number(parts[1], digits: 8)
    else {
      return nil
    }
    return ChunkID(inode: InodeID(rawValue: inode), index: UInt32(index))
  }

  static func quarantined(_ name: String) -> ChunkPlace? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, let chunk = chunk("\(parts[0]).\(parts[1])"), let group = group(String(parts[2]))
    else { return nil }
    return ChunkPlace(chunk: chunk, group: group)
  }

  private static func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: digits - text.utf8.count) + text
  }

  /// Exactly `digits` lower-case digits.
  private static func number(_ text: some Collection<UInt8>, digits: Int) -> UInt64? {
    guard text.count == digits else { return nil }
    var value: UInt64 = 0
    for character in text {
      switch character {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(character - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"):
        value = value << 4 | UInt64(character - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return value
  }
}
