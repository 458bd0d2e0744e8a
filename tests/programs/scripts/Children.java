import java.util.List;

/** Runs a command with no environment, as ProcessBuilder does: posix_spawn and a helper. Usage: Children COMMAND… */
class Children {
    public static void main(String[] arguments) throws Exception {
        var builder = new ProcessBuilder(List.of(arguments)).inheritIO();
        builder.environment().clear();
        System.exit(builder.start().waitFor());
    }
}
