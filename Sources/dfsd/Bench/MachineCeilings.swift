import DFSCodec
import DFSCrypto
import DFSTransport
import Foundation

/// What this machine can do at best, measured in the same run as everything it is compared with.
struct MachineCeilings: Codable, Sendable {
  /// SHA-256 on one core, in MB/s.
  var sha256: Double
  /// CRC32C on one core, in MB/s.
  var crc32c: Double
  /// One TCP stream over loopback, in MB/s, and the CPU seconds of both ends for a GiB.
  var loopback: Double
  var loopbackCPUPerGiB: Double
  /// Sequential write of 256 MiB with one `fdatasync` at the end, in MB/s.
  var diskWrite: Double
  /// `fdatasync` calls a second behind an append of 4 KiB: one writer, and sixteen with a file each.
  var syncs: Double
  var syncsOfSixteen: Double

  private enum CodingKeys: String, CodingKey {
    case sha256 = "sha256_mb_per_s"
    case crc32c = "crc32c_mb_per_s"
    case loopback = "loopback_mb_per_s"
    case loopbackCPUPerGiB = "loopback_cpu_s_per_gib"
    case diskWrite = "disk_write_fsync_mb_per_s"
    case syncs = "fdatasync_4kib_per_s"
    case syncsOfSixteen = "fdatasync_4kib_16_writers_per_s"
  }

  /// Takes about four seconds. `directory` lies on the disk in question. Blocks.
  init(measuringIn directory: String) throws {
    let buffer = [UInt8](repeating: 0xA5, count: 1 << 20)
    sha256 = Self.rate(of: 512) { buffer.withUnsafeBytes { _ = SHA256.hash($0) } }
    crc32c = Self.rate(of: 1024) { buffer.withUnsafeBytes { _ = CRC32C.checksum($0) } }
    let before = Self.ownCPU()
    loopback = try Self.measureLoopback(bytes: 1 << 30)
    loopbackCPUPerGiB = Self.ownCPU() - before
    diskWrite = try Self.measureDisk(in: directory, bytes: 256 << 20)
    syncs = try Self.measureSyncs(in: directory, writers: 1)
    syncsOfSixteen = try Self.measureSyncs(in: directory, writers: 16)
  }

  /// MB/s of a body that handles one MiB.
  private static func rate(of count: Int, _ body: () -> Void) -> Double {
    let time = ContinuousClock().measure { for _ in 0..<count { body() } }
    return Double(count << 20) / 1e6 / time.seconds
  }

  private static func ownCPU() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  private static func measureLoopback(bytes: Int) throws -> Double {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let sender = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer {
      close(listener)
      close(sender)
    }
    for socket in [listener, sender] { LoopbackPacing.turnOff(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let connected = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &length) == 0
          && connect(sender, $0, length) == 0
      }
    }
    let receiver = accept(listener, nil, nil)
    guard connected, receiver >= 0 else {
      throw BenchError("no TCP connection over loopback: \(errnoText())")
    }
    defer { close(receiver) }

    let piece = 256 << 10
    let thread = Thread {
      let buffer = [UInt8](repeating: 1, count: piece)
      var left = bytes
      while left > 0 {
        let sent = buffer.withUnsafeBytes {
          send(sender, $0.baseAddress, min(left, piece), Int32(MSG_NOSIGNAL))
        }
        if sent <= 0 { return }
        left -= sent
      }
    }
    var received = 0
    let time = ContinuousClock().measure {
      thread.start()
      var buffer = [UInt8](repeating: 0, count: piece)
      while received < bytes {
        let count = buffer.withUnsafeMutableBytes { recv(receiver, $0.baseAddress, piece, 0) }
        if count <= 0 { break }
        received += count
      }
    }
    guard received == bytes else { throw BenchError("loopback TCP broke off: \(errnoText())") }
    return Double(bytes) / 1e6 / time.seconds
  }

  private static func measureDisk(in directory: String, bytes: Int) throws -> Double {
    let path = directory + "/ceiling-disk"
    defer { unlink(path) }
    let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw BenchError("cannot create \(path): \(errnoText())") }
    defer { close(descriptor) }
    let buffer = [UInt8](repeating: 0x5A, count: 8 << 20)
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<bytes / buffer.count {
      let count = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count == buffer.count else { throw BenchError("cannot write \(path): \(errnoText())") }
    }
    guard fdatasync(descriptor) == 0 else { throw BenchError("cannot sync \(path): \(errnoText())") }
    return Double(bytes) / 1e6 / start.duration(to: clock.now).seconds
  }

  private static func measureSyncs(in directory: String, writers: Int) throws -> Double {
    let counter = SyncCounter()
    let clock = ContinuousClock()
    let start = clock.now
    let end = start.advanced(by: .seconds(1))
    DispatchQueue.concurrentPerform(threads: writers) { number in
      let path = "\(directory)/ceiling-sync-\(number)"
      defer { unlink(path) }
      let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { return }
      defer { close(descriptor) }
      let block = [UInt8](repeating: 1, count: 4096)
      while clock.now < end {
        let count = block.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard count == block.count, fdatasync(descriptor) == 0 else { return }
        counter.add()
      }
    }
    let syncs = Double(counter.count) / start.duration(to: clock.now).seconds
    guard syncs > 0 else { throw BenchError("cannot sync files in \(directory)") }
    return syncs
  }
}

/// Counts from several threads.
private final class SyncCounter: @unchecked Sendable {
  // SAFETY: `total` is touched under `lock` only.
  private let lock = NSLock()
  private var total = 0
  func add() { lock.withLock { total += 1 } }
  var count: Int { lock.withLock { total } }
}

extension DispatchQueue {
  /// Runs `body` on as many threads of its own, which a pool as wide as the machine would not give.
  fileprivate static func concurrentPerform(threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for number in 0..<threads {
      group.enter()
      Thread {
        body(number)
        group.leave()
      }.start()
    }
    group.wait()
  }
}

struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func errnoText() -> String { String(cString: strerror(errno)) }
