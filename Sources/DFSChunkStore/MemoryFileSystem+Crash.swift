import DFSCore

extension MemoryFileSystem {
  /// What a machine that lost its power now would find: only what was synced.
  package func afterCrash() -> MemoryFileSystem {
    rebuilt { _, synced in
      synced
    } bytes: { _, synced in
      synced
    }
  }

  /// As `afterCrash()`, but each unsynced name and each file's unsynced bytes may have made it, wholly or in
  /// part.
  package func afterCrash(using generator: inout some RandomNumberGenerator) -> MemoryFileSystem {
    var random = generator
    defer { generator = random }
    return rebuilt { current, synced in
      Bool.random(using: &random) ? current : synced
    } bytes: { current, synced in
      guard current.count > synced.count, Bool.random(using: &random) else { return synced }
      return Array(current.prefix(Int.random(in: synced.count...current.count, using: &random)))
    }
  }

  private func rebuilt(
    name choose: (_ current: Int?, _ synced: Int?) -> Int?,
    bytes content: (_ current: [UInt8], _ synced: [UInt8]) -> [UInt8]
  ) -> MemoryFileSystem {
    let before = state.withLock { $0 }
    let result = MemoryFileSystem(capacity: before.capacity)
    result.state.withLock { after in
      after.nextNode = before.nextNode
      for (number, node) in before.nodes.sorted(by: { $0.key < $1.key }) {
        switch node {
        case .file(let current, let synced):
          let kept = content(current, synced)
          after.nodes[number] = .file(bytes: kept, synced: kept)
        case .directory(let current, let synced):
          var names: [String: Int] = [:]
          for name in Set(current.keys).union(synced.keys).sorted() {
            names[name] = choose(current[name], synced[name])
          }
          after.nodes[number] = .directory(names: names, synced: names)
        }
      }
      after.used = after.usedBytes(under: 0)
    }
    return result
  }

  /// Flips bits of one byte of a file, on the medium. Throws `.notFound`.
  package func flip(_ path: String, at offset: Int, mask: UInt8 = 0x10) throws {
    try edit(path) { $0[offset] ^= mask }
  }

  package func truncate(_ path: String, to length: Int) throws {
    try edit(path) { $0.removeLast($0.count - length) }
  }

  package func contents(of path: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try edit(path) { bytes = $0 }
    return bytes
  }

  private func edit(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    try state.withLock { state in
      let node = try state.node(path)
      guard case .file(var bytes, _) = state.nodes[node] else { throw State.missing(path) }
      body(&bytes)
      state.nodes[node] = .file(bytes: bytes, synced: bytes)
    }
  }
}

extension MemoryFileSystem.State {
  fileprivate func usedBytes(under node: Int) -> Int {
    switch nodes[node] {
    case .file(let bytes, _): bytes.count
    case .directory(let names, _): names.values.reduce(0) { $0 + usedBytes(under: $1) }
    case nil: 0
    }
  }
}
