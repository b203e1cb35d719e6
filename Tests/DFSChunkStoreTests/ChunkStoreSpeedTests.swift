import DFSChunkStore
import DFSCodec
import DFSCore
import DFSCrypto
import DFSKeyValue
import Foundation
import TestSupport
import Testing

/// Figures, not judgements: `DFS_SPEED=1 swift test -c release --filter ChunkStoreSpeedTests`. Set
/// `DFS_TEST_DIRECTORY` to the disk in question.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["DFS_SPEED"] != nil))
struct ChunkStoreSpeedTests {
  private struct Usage {
    var wall: Double
    var cpu: Double
  }

  private func measure(_ body: () throws -> Void) rethrows -> Usage {
    func cpuSeconds() -> Double {
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      let micros = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
      return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(micros) / 1e6
    }
    let clock = ContinuousClock()
    let before = cpuSeconds()
    let wall = try clock.measure(body)
    let seconds = Double(wall.components.seconds) + Double(wall.components.attoseconds) / 1e18
    return Usage(wall: seconds, cpu: cpuSeconds() - before)
  }

  private func report(_ name: String, bytes: Int = 0, operations: Int = 0, _ usage: Usage) {
    var line = "speed: " + name.padding(toLength: 44, withPad: " ", startingAt: 0)
    if bytes > 0 {
      line += String(
        format: "%8.0f MB/s  %6.3f CPU s/GiB", Double(bytes) / usage.wall / 1e6,
        usage.cpu / Double(bytes) * Double(1 << 30))
    }
    if operations > 0 {
      line += String(
        format: "%8.0f /s  %8.1f µs CPU each", Double(operations) / usage.wall,
        usage.cpu / Double(operations) * 1e6)
    }
    print(line)
  }

  /// Threads of their own: a dispatch queue starts no more than there are cores.
  private func concurrently(_ threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
    let group = DispatchGroup()
    for number in 0..<threads {
      group.enter()
      Thread.detachNewThread {
        do { try body(number) } catch { Issue.record(error) }
        group.leave()
      }
    }
    group.wait()
  }

  private func store(_ temporary: TemporaryDirectory) throws -> LocalChunkStore {
    let options = LocalChunkStoreOptions(cache: RocksDBCache(capacity: .mib(32)))
    return try LocalChunkStore(in: DataDirectory(path: temporary.path + "/data"), options: options)
  }

  @Test func `hashes and checksums`() {
    var generator = SeededGenerator(seed: 1)
    let bytes = generator.bytes(8 << 20)
    bytes.withUnsafeBytes { buffer in
      let rounds = 32
      var sink = 0
      let block = UnsafeRawBufferPointer(rebasing: buffer[..<Block.size])
      report(
        "SHA-256 leaves of 64 KiB", bytes: rounds * buffer.count,
        measure {
          for _ in 0..<rounds { sink &+= MerkleTree.leaves(of: buffer).count }
        })
      report(
        "SHA-256 streaming, leaves and root", bytes: rounds * buffer.count,
        measure {
          for _ in 0..<rounds {
            var hasher = MerkleHasher()
            hasher.update(buffer)
            sink &+= hasher.finish().hashValue
          }
        })
      report(
        "CRC32C of 64 KiB in cache", bytes: 4096 * Block.size,
        measure {
          for _ in 0..<4096 { sink &+= Int(CRC32C.checksum(block)) }
        })
      report(
        "CRC32C of 8 MiB", bytes: rounds * buffer.count,
        measure {
          for _ in 0..<rounds { sink &+= Int(CRC32C.checksum(buffer)) }
        })
      let key = MessageAuthenticator(key: [1, 2, 3])
      let message = [UInt8](repeating: 1, count: 80)
      report(
        "HMAC-SHA-256 of 80 bytes", operations: 200_000,
        measure {
          for _ in 0..<200_000 { sink &+= key.code(for: message).hashValue }
        })
      #expect(sink != 0)
    }
  }

  @Test(arguments: [(200, 16), (4_096, 1), (4_096, 16), (65_536, 1), (65_536, 16)])
  func `synced small chunks`(_ length: Int, _ threads: Int) throws {
    let temporary = try TemporaryDirectory("dfs-speed")
    let store = try store(temporary)
    defer { store.close() }
    let each = (length > 10_000 ? 800 : 4_000) / (threads == 1 ? 4 : 1)
    let model = TestChunk(1, length: length)
    let usage = measure {
      concurrently(threads) { thread in
        for number in 0..<each / threads {
          var chunk = model
          chunk.id = ChunkID(inode: InodeID(rawValue: UInt64(thread + 1)), index: UInt32(number))
          try chunk.write(to: store, length: length)
        }
      }
    }
    report("put \(length) B synced, \(threads) at once", operations: each, usage)
    let reading = measure {
      concurrently(threads) { thread in
        for number in 0..<each / threads {
          let id = ChunkID(inode: InodeID(rawValue: UInt64(thread + 1)), index: UInt32(number))
          _ = try store.open(id, in: model.group).allBytes()
        }
      }
    }
    report("get \(length) B, \(threads) at once", operations: each, reading)
    #expect(store.counts().chunks == each)
  }

  @Test(arguments: [1, 4, 16]) func `large chunks, written and synced`(_ threads: Int) throws {
    let temporary = try TemporaryDirectory("dfs-speed")
    let store = try store(temporary)
    defer { store.close() }
    let model = TestChunk(1, length: 8 << 20)
    let chunks = 64
    let usage = measure {
      concurrently(threads) { thread in
        for number in 0..<chunks / threads {
          var chunk = model
          chunk.id = ChunkID(inode: InodeID(rawValue: UInt64(thread + 1)), index: UInt32(number))
          try chunk.write(to: store, step: 16, length: 8 << 20)
        }
      }
    }
    report("put 8 MiB synced, \(threads) at once", bytes: chunks << 23, usage)
    let reading = measure {
      concurrently(threads) { thread in
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        for number in 0..<chunks / threads {
          let id = ChunkID(inode: InodeID(rawValue: UInt64(thread + 1)), index: UInt32(number))
          let reader = try store.open(id, in: model.group)
          for start in stride(from: 0, to: 128, by: 16) { try reader.read(start..<start + 16, into: buffer) }
        }
      }
    }
    report("get 8 MiB past the page cache, CRC checked", bytes: chunks << 23, reading)
  }

  @Test func `the disk itself`() throws {
    let temporary = try TemporaryDirectory("dfs-speed")
    let bytes = [UInt8](repeating: 7, count: 8 << 20)
    let usage = measure {
      for number in 0..<32 {
        let file = open(temporary.path + "/\(number)", O_RDWR | O_CREAT, 0o600)
        #expect(write(file, bytes, bytes.count) == bytes.count)
        #expect(fdatasync(file) == 0)
        close(file)
      }
    }
    report("raw write + fdatasync of 8 MiB files", bytes: 32 << 23, usage)
  }
}
