import Foundation
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(3)))
struct `Benchmarks` {
  private func object(_ run: ProgramRun) throws -> [String: Any] {
    #expect(run.status == 0, "\(run.errors)")
    return try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run.output)")
  }

  @Test func `every case is measured, with the CPU of each role, and nothing is left behind`() async throws {
    let scratch = try TemporaryDirectory("dfs-bench-test")
    let report = try object(
      try await ProgramRun.run(
        ProcessCluster.program, ["bench", "--divide", "100", "--directory", scratch.path, "--json"]))
    let results = try #require(report["results"] as? [[String: Any]])
    let names = results.compactMap { $0["name"] as? String }
    for start in [
      "put 1/100 GiB", "get 1/100 GiB", "put 64 KiB, 16", "get 4 KiB, 1 at", "put 4 KiB, 16", "names: list",
    ] {
      #expect(names.contains { $0.hasPrefix(start) }, "\(start) is not among \(names)")
    }
    for result in results {
      let roles = try #require(result["cpu_s_by_role"] as? [String: Any])
      #expect(Set(roles.keys) == ["client", "coordinator", "datanode"])
      #expect(try #require(result["wall_s"] as? Double) > 0)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }

  @Test func `a healing cluster is measured from the kill to the last copy`() async throws {
    let scratch = try TemporaryDirectory("dfs-bench-test")
    let report = try object(
      try await ProgramRun.run(
        ProcessCluster.program,
        [
          "bench", "repair", "--chunks", "100", "--chunk-size", "64KiB", "--directory", scratch.path,
          "--json",
          "--set", "coordinator.down_after=3s", "--set", "coordinator.out_after=0s",
        ], limit: .seconds(170)))
    #expect(report["chunks"] as? Int == 100 && report["datanodes"] as? Int == 4)
    let times = try ["detected_s", "first_copy_s", "healed_s"].map { try #require(report[$0] as? Double) }
    #expect(times[0] > 0 && times == times.sorted())
    #expect(try #require(report["repaired_chunks"] as? Int) > 0)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }

  @Test func `a choice that cannot be is refused before anything starts`() async throws {
    for (arguments, advice) in [
      (["bench", "--divide", "0"], "--divide takes 1 to 100"),
      (["bench", "repair", "--datanodes", "3"], "--datanodes takes 4 to 16"),
      (["bench", "repair", "--chunks", "10"], "--chunks takes 100"),
      (["bench", "repair", "--chunk-size", "3MiB"], "--chunk-size takes 64 KiB times a power of two"),
      (["bench", "--directory", "/nonexistent/place"], "/nonexistent/place"),
    ] {
      let run = try await ProgramRun.run(ProcessCluster.program, arguments)
      #expect(run.status != 0 && run.errors.contains(advice), "\(arguments): \(run.errors)")
    }
  }
}
