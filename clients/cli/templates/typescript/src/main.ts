import { serve } from "@superfasttt/connector";
import { connector } from "./connector.js";

serve(connector);
